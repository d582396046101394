-- Takes worker. Answers 1 if it is known.
local worker = take()
if redis.call('HEXISTS', T .. ':workers', worker) == 0 then return 0 end
even_if_full()
redis.call('SADD', T .. ':draining', worker)
return 1
