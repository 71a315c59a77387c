-- Asks for the paths of a file in turn; its first line is the Authorization header. Prints one line of JSON.
local requests, nth = {}, 0

function init(args)
  local lines = io.lines(args[1])
  wrk.headers['Authorization'] = lines()
  for path in lines do requests[#requests + 1] = wrk.format('GET', path) end
end

function request()
  nth = nth % #requests + 1
  return requests[nth]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requestsPerSecond":%f,"p50Ms":%f,"p99Ms":%f,"answers":%d,"failures":%d}\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.requests, errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
