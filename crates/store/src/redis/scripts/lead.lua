-- Takes name, owner, now, end. Answers 1 if the owner has the lead.
local name, owner, now, ends = take(), take(), take(), take()
local key = T .. ':lead:' .. name
local known = redis.call('HMGET', key, 'o', 'u')
if known[1] and known[1] ~= owner and tonumber(known[2]) > tonumber(now) then return 0 end
even_if_full()
redis.call('HSET', key, 'o', owner, 'u', ends)
return 1
