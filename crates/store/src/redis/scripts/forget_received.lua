-- Takes a time, and how many at most. Answers how many webhooks that came in before it are gone.
local keys = redis.call('ZRANGEBYSCORE', T .. ':received', '-inf', '(' .. take(), 'LIMIT', 0, take())
even_if_full()
for _, key in ipairs(keys) do
  local known = redis.call('HMGET', T .. ':i:' .. key, 't', 's', 'o', 'c')
  local counts, count = T .. ':inbox_count:' .. known[1], known[3] .. ':' .. known[2]
  if redis.call('HINCRBY', counts, count, -1) == 0 then redis.call('HDEL', counts, count) end
  redis.call('ZREM', T .. ':inbox:' .. known[1], known[4])
  redis.call('ZREM', T .. ':received', key)
  redis.call('DEL', T .. ':i:' .. key)
end
return #keys
