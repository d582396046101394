-- Takes hash, time, key.
local hash, at, key = take(), take(), take()
redis.call('HSET', T .. ':keys', hash, key)
redis.call('ZADD', T .. ':keys:order', at, hash)
return 1
