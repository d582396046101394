-- Takes padded id, attempt, status, next attempt. Answers whether it is there.
local id, attempt, status, at = take(), take(), take(), take()
local key = T .. ':d:' .. id
local known = redis.call('HMGET', key, 'b', 'm', 's', 'f', 'l')
local bot, place, failures = known[1], known[2], tonumber(known[4] or 0)
if not bot then return 0 end
local attempts = known[5] == '[]' and '[' .. attempt .. ']' or string.sub(known[5], 1, -2) .. ',' .. attempt .. ']'
even_if_full()
redis.call('HSET', key, 'l', attempts)
-- Two senders may have had it. One of them was heard, and that stands.
if known[3] == 'delivered' then return 1 end
if status ~= 'delivered' then failures = failures + 1 end
redis.call('HSET', key, 's', status, 'n', at, 'f', failures)
schedule(bot, place, at)
-- It outlived its record only to be settled.
if at == '' and redis.call('EXISTS', session_key(bot)) == 0 then forget_delivery(bot, place) end
return 1
