//! What is told of units to whoever looks.

use std::time::Duration;

use redis_fixture::RedisServer;

use crate::{
    limit::{Limit, Span, Unit},
    redis::{Link, OnMissing, Options, Script},
    share::redis::seen,
};

const WAIT: Duration = Duration::from_secs(10);

/// As `a_day_that_nobody_knows_is_not_told_as_an_older_copy_counted_it` of the shelf, from the server.
#[tokio::test]
async fn a_day_that_nobody_knows_is_told_as_used_up() {
    let Some(server) = RedisServer::start() else { return };
    let options = Options::new(&server.url()).unwrap().on_missing(OnMissing::Wait(WAIT));
    let link = Link::open(options).await.unwrap();
    let put = "local day = {{u = 0, s = 0, a = 40, m = {}, d = {20001, 9}}}
        for name, unknown in pairs({unasked = '1000', known = ''}) do
          local unit = KEYS[1] .. ':unit:m\\n' .. name
          redis.call('SADD', KEYS[1] .. ':units', 'm\\n' .. name)
          redis.call('HSET', unit, 'counts', cmsgpack.pack(day), 'lost', '1000')
          if unknown ~= '' then redis.call('HSET', unit, 'days_unknown', unknown) end
        end
        return 1";
    link.run(&Script::new(put), &[], WAIT).await.unwrap();
    let all = seen(&link, WAIT).await.unwrap();
    let told = |name: &str| {
        let found = all.iter().find(|seen| seen.unit.as_str() == name).unwrap();
        (found.counts[0].limit, found.counts[0].dates.clone())
    };
    let limit = Limit { unit: Unit::Requests, span: Span::Day, amount: 40 };
    assert_eq!(told("m\nunasked"), (limit, vec![(20_001, 40)]));
    assert_eq!(told("m\nknown"), (limit, vec![(20_001, 9)]));
}
