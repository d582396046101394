-- ARGV: time, id of a dead letter.
local found = redis.call('XRANGE', T .. ':dead', ARGV[2], ARGV[2])[1]
if not found then return 0 end
redis.call('XDEL', T .. ':dead', found[1])
local _, told = add(found[2][2], nil, now)
if told then ring() end
return 1
