-- Takes tenant, bot. Answers how many of those that wait in line are before it, if it waits there.
local tenant, bot = take(), take()
local created = redis.call('HGET', session_key(bot), 'c')
return created and redis.call('ZRANK', line(tenant), place_in_line(bot, created))
