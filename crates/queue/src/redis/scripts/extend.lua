-- ARGV: time, id, token, lease.
local ends, extended = held(ARGV[2], ARGV[3]), after(tonumber(ARGV[4]))
if not ends then return 0 end
redis.call('ZADD', T .. ':leases', text(extended), ARGV[2])
if extended < ends then ring() end
return 1
