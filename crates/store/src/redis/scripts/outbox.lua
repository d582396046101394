-- Takes now, limit. Answers of each job: id, time, job.
local found = redis.call('ZRANGEBYSCORE', T .. ':outbox', '-inf', take(), 'WITHSCORES', 'LIMIT', 0, take())
local jobs = {}
for from = 1, #found, 1000 do
  local ids, times = {}, {}
  for i = from, math.min(from + 999, #found), 2 do ids[#ids + 1], times[#times + 1] = found[i], found[i + 1] end
  for i, job in ipairs(redis.call('HMGET', T .. ':job', unpack(ids))) do
    jobs[#jobs + 1] = { tonumber(ids[i]), tonumber(times[i]), job }
  end
end
return jobs
