-- ARGV: time, id, token.
local id = ARGV[2]
local ends, key = held(id, ARGV[3])
if not ends then return 0 end
redis.call('ZREM', T .. ':leases', id)
remove(id, key)
return 1
