-- Takes tenant, id. Answers whether it was there.
local tenant, id = take(), take()
if redis.call('HDEL', T .. ':endpoints:' .. tenant, id) == 0 then return 0 end
return redis.call('HDEL', T .. ':endpoints', id)
