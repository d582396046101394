-- Takes padded ids.
while position < #ARGV do
  local id = take()
  redis.call('ZREM', T .. ':outbox', id)
  redis.call('HDEL', T .. ':job', id)
end
return 1
