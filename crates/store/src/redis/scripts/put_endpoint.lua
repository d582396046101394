-- Takes id, tenant, version read, version and record. Answers whether the version was the stored one.
local id, tenant, read, written, record = take(), take(), take(), take(), take()
local owner = redis.call('HGET', T .. ':endpoints', id)
local known = owner and redis.call('HGET', T .. ':endpoints:' .. owner, id)
local version = known and string.match(known, '^%d+') or '0'
if version ~= read or (owner and owner ~= tenant) then return 0 end
redis.call('HSET', T .. ':endpoints', id, tenant)
redis.call('HSET', T .. ':endpoints:' .. tenant, id, written .. ':' .. record)
return 1
