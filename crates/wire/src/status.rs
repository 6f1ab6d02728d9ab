//! The catalogue as gRPC status: the code travels as metadata, the detail as message (R210).

use std::error::Error as _;
use std::fmt::Display;

use symphony_types::catalogue::{self, Code};
use tonic::metadata::MetadataValue;
use tonic::{Code as GrpcCode, Status};

/// Metadata key that carries the catalogue code.
pub const CODE_KEY: &str = "symphony-code";

/// A refusal as a status.
pub fn refusal(code: Code, detail: impl Display) -> Status {
    let mut status = Status::new(GrpcCode::from_i32(code.grpc() as i32), detail.to_string());
    status.metadata_mut().insert(CODE_KEY, MetadataValue::from_static(code.as_str()));
    status
}

/// The catalogue code and detail of a status; a status without one is a fault of the transport.
pub fn problem_of(status: &Status) -> (Code, String) {
    let code =
        status.metadata().get(CODE_KEY).and_then(|value| value.to_str().ok()).and_then(catalogue::by_str);
    match code {
        Some(code) => (code, status.message().to_owned()),
        // Nobody answered: the connection broke under the call, and whether it had an effect is not known.
        None if status.source().is_some() && by_grpc(status.code()) == Code::Internal => {
            (Code::Unavailable, status.message().to_owned())
        }
        None => (by_grpc(status.code()), status.message().to_owned()),
    }
}

fn by_grpc(code: GrpcCode) -> Code {
    match code {
        GrpcCode::InvalidArgument | GrpcCode::OutOfRange => Code::Malformed,
        GrpcCode::Unauthenticated => Code::Unauthenticated,
        GrpcCode::PermissionDenied => Code::Forbidden,
        GrpcCode::NotFound => Code::NotFound,
        GrpcCode::ResourceExhausted => Code::BodyTooLarge,
        GrpcCode::Unavailable | GrpcCode::DeadlineExceeded | GrpcCode::Cancelled => Code::Unavailable,
        GrpcCode::Ok
        | GrpcCode::Unknown
        | GrpcCode::AlreadyExists
        | GrpcCode::FailedPrecondition
        | GrpcCode::Aborted
        | GrpcCode::Unimplemented
        | GrpcCode::Internal
        | GrpcCode::DataLoss => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// R210: a caller may try again after a broken connection, and only the transport's faults are taken for one.
    #[test]
    fn a_broken_connection_is_no_internal_fault() {
        let broken = Status::from_error(Box::new(io::Error::other("connection reset")));
        assert_eq!(problem_of(&broken).0, Code::Unavailable);
        assert_eq!(problem_of(&refusal(Code::Internal, "a fault")).0, Code::Internal);
        assert_eq!(problem_of(&Status::internal("without a code")).0, Code::Internal);
        assert_eq!(problem_of(&refusal(Code::NotFound, "no")).0, Code::NotFound);
    }
}
