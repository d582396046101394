-- ARGV: time, id, token, lease.
local ends, extended = held(ARGV[2], ARGV[3]), after(tonumber(ARGV[4]))
if not ends then return 0 end
-- A server that is full lets a script go on that has written, and this one keeps a job.
redis.call('UNLINK', T .. ':never')
redis.call('ZADD', T .. ':leases', text(extended), ARGV[2])
if extended < ends then ring() end
return 1
