-- Takes owner, end of lease, then bot and fencing token of each. Answers of each: 0 lost, 1 held, 2 held and to be stopped.
local owner, ends = take(), take()
local answers = {}
even_if_full()
while position < #ARGV do
  local bot, fencing = take(), take()
  local known = redis.call('HMGET', session_key(bot), 'o', 'f', 'u', 'x', 'q')
  if known[1] == owner and known[2] == fencing and owner ~= '' then
    local extended = later(known[3], ends)
    redis.call('HSET', session_key(bot), 'u', extended)
    redis.call('ZADD', T .. ':at:lease', extended, known[5])
    answers[#answers + 1] = known[4] == '1' and 2 or 1
  else
    answers[#answers + 1] = 0
  end
end
return answers
