-- Takes a hash.
local hash = take()
redis.call('ZREM', T .. ':keys:order', hash)
return redis.call('HDEL', T .. ':keys', hash)
