-- Takes worker and record. Answers 1 if it is to take no more bots.
local worker, record = take(), take()
even_if_full()
redis.call('HSET', T .. ':workers', worker, record)
return redis.call('SISMEMBER', T .. ':draining', worker)
