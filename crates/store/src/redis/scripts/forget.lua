-- Takes worker. Answers 1 if it was known.
local worker = take()
redis.call('SREM', T .. ':draining', worker)
return redis.call('HDEL', T .. ':workers', worker)
