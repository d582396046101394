-- Takes now, then padded ids. Answers how many are pending again.
local now, resent = take(), 0
while position < #ARGV do
  local key = T .. ':d:' .. take()
  local known = redis.call('HMGET', key, 'b', 'm', 's')
  if known[3] and known[3] ~= 'pending' then
    redis.call('HSET', key, 's', 'pending', 'n', now, 'f', 0)
    schedule(known[1], known[2], now)
    resent = resent + 1
  end
end
return resent
