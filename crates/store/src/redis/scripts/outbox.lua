-- Takes now, limit. Answers of each job: id, time, job.
local found = redis.call('ZRANGEBYSCORE', T .. ':outbox', '-inf', take(), 'WITHSCORES', 'LIMIT', 0, take())
local jobs = {}
for i = 1, #found, 2 do
  jobs[#jobs + 1] = { tonumber(found[i]), tonumber(found[i + 1]), redis.call('HGET', T .. ':job', found[i]) }
end
return jobs
