//! Batches as the client is told of them: their results are fetched here.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower_keypool::BoxError;

use super::body::Said;
use crate::gateway::forward::results::Results;

/// A longer answer goes on unread. A page of a thousand batches is no longer than this.
const READ: usize = 4 << 20;

/// A good answer that leads here for its results.
pub(in crate::gateway) async fn addressed<B>(response: Response<Said<B>>, results: &Results) -> Response<Said<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let headers = response.headers();
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_json = kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"));
    let is_plain = headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    let is_long = response.body().size_hint().lower() > READ as u64;
    if !response.status().is_success() || !is_json || !is_plain || is_long {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let (mut body, mut said) = (Box::pin(body), BytesMut::new());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => said.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(error) => return Response::from_parts(head, Said::broken(error)),
        }
        if said.len() > READ {
            return Response::from_parts(head, Said::resumed(said.freeze(), body));
        }
    }
    let told = results.told(said.freeze());
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(told.len()));
    Response::from_parts(head, Said::from(Full::from(told)))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::Request;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    async fn told(pieces: Vec<Result<Bytes, BoxError>>) -> Result<Bytes, BoxError> {
        let body = StreamBody::new(stream::iter(pieces.into_iter().map(|piece| piece.map(Frame::data))));
        let response = Response::builder().header("content-type", "application/json").body(Said::theirs(body)).unwrap();
        let (head, ()) = Request::new(()).into_parts();
        let results = Results::at(&head, "h", "/v1/messages/batches");
        let response = addressed(response, &results).await;
        let length = response.headers().get("content-length").cloned();
        let told = response.into_body().collect().await?.to_bytes();
        assert!(length.is_none_or(|length| length == told.len().to_string().as_str()));
        Ok(told)
    }

    #[tokio::test]
    async fn what_is_long_goes_on_as_it_is_and_what_breaks_off_does() {
        let batch = Bytes::from_static(br#"{"results_url":"https://h.example/v1/messages/batches/b/results"}"#);
        let whole = told(vec![Ok(batch.slice(..20)), Ok(batch.slice(20..))]).await.unwrap();
        assert_eq!(whole, r#"{"results_url":"http://h/v1/messages/batches/b/results"}"#);
        let long = Bytes::from(vec![b' '; READ]);
        let pieces = [batch.clone(), long.clone(), batch.clone()];
        let passed = told(pieces.iter().cloned().map(Ok).collect()).await.unwrap();
        assert!(passed == pieces.concat());
        assert!(told(vec![Ok(batch), Err("gone".into())]).await.is_err());
    }
}
