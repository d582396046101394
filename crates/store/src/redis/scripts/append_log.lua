-- Takes bot, then kind, key and line of each. Answers whether the record is there: nothing would ever remove the lines of
-- one that is not.
local bot = take()
if redis.call('EXISTS', session_key(bot)) == 0 then return 0 end
while position < #ARGV do
  local kind, key, line = take(), take(), take()
  -- The length keeps pairs apart that would read the same.
  if redis.call('SADD', T .. ':logged:' .. bot, #kind .. ':' .. kind .. ':' .. key) == 1 then
    redis.call('SADD', T .. ':kinds:' .. bot, kind)
    redis.call('RPUSH', T .. ':log:' .. bot .. ':' .. kind, line)
  end
end
return 1
