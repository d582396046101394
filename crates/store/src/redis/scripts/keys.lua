-- Answers every key, oldest first.
local found = {}
for _, hash in ipairs(redis.call('ZRANGE', T .. ':keys:order', 0, -1)) do
  found[#found + 1] = redis.call('HGET', T .. ':keys', hash)
end
return found
