-- Takes a time, then padded ids.
local at = take()
even_if_full()
while position < #ARGV do
  local key = T .. ':d:' .. take()
  local known = redis.call('HMGET', key, 'b', 'm', 's', 'n')
  if known[3] == 'pending' and tonumber(known[4]) < tonumber(at) then
    redis.call('HSET', key, 'n', at)
    schedule(known[1], known[2], at)
  end
end
return 1
