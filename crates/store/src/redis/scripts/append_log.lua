-- Takes bot, fencing token, then kind, key and line of each. Answers whether the token is that of the current lease.
local bot, fencing = take(), take()
local held = redis.call('HMGET', session_key(bot), 'f', 'o')
if held[1] ~= fencing or held[2] == '' then return 0 end
while position < #ARGV do
  local kind, key, line = take(), take(), take()
  -- The length keeps pairs apart that would read the same.
  if redis.call('SADD', T .. ':logged:' .. bot, #kind .. ':' .. kind .. ':' .. key) == 1 then
    redis.call('SADD', T .. ':kinds:' .. bot, kind)
    redis.call('RPUSH', T .. ':log:' .. bot .. ':' .. kind, line)
  end
end
return 1
