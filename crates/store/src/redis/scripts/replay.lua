-- Takes bot, padded sequence or nothing, now. Answers how many are pending again.
local bot, sequence, now = take(), take(), take()
local replayed = 0
for _, place in ipairs(redis.call('ZRANGE', T .. ':ledger:' .. bot, 0, -1)) do
  local wanted = sequence == '' or string.sub(place, 1, 20) == sequence
  if wanted and not redis.call('ZSCORE', T .. ':pending:' .. bot, place) then
    redis.call('HSET', T .. ':d:' .. string.sub(place, 22), 's', 'pending', 'n', now, 'f', 0)
    schedule(bot, place, now)
    replayed = replayed + 1
  end
end
return replayed
