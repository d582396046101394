-- ARGV: time, id, token, reason. The deduplication key goes: a dead letter does not keep its successors out.
local id = ARGV[2]
local ends, key = held(id, ARGV[3])
if not ends then return 0 end
end_lease(id, 'dead', now)
local known = redis.call('HMGET', message(id), 'p', 'r', 'h')
redis.call('XADD', T .. ':dead', '*', 'payload', known[1], 'reason', ARGV[4], 'receives', known[2],
  'attempts', '[' .. known[3] .. ']', 'died_at', text(now))
remove(id, key)
return 1
