-- Takes padded ids.
for from = 1, #ARGV, 500 do
  local to = math.min(from + 499, #ARGV)
  redis.call('ZREM', T .. ':outbox', unpack(ARGV, from, to))
  redis.call('HDEL', T .. ':job', unpack(ARGV, from, to))
end
return 1
