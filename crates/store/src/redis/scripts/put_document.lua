-- Takes name, version read, version and body. Answers whether the version was the stored one.
local name, read, written, body = take(), take(), take(), take()
local known = redis.call('HGET', T .. ':documents', name)
if (known and string.match(known, '^%d+') or '0') ~= read then return 0 end
even_if_full()
redis.call('HSET', T .. ':documents', name, written .. ':' .. body)
return 1
