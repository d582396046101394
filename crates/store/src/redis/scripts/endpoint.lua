-- Takes an id. Answers version and record, if it is there.
local id = take()
local owner = redis.call('HGET', T .. ':endpoints', id)
return owner and redis.call('HGET', T .. ':endpoints:' .. owner, id)
