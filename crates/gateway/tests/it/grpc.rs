//! The same operations over gRPC on the same port, framed by hand so that nothing of the server is reused.

use prost::Message;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    DrawReceipt, EvidenceBundle, ParseReceipt, PutReceipt, ReadBudget, SealedOperation, SubmitParseRequest,
    Task, TaskList, TaskRef, TasksRequest, VaultAnswer, VaultOperation,
};

use crate::stage::{ACTOR, Stage, TASK, VAULT, token};

pub(crate) async fn call(
    stage: &Stage,
    method: &str,
    token: Option<String>,
    message: Vec<u8>,
) -> reqwest::Response {
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&message);
    let mut request = stage.client.post(format!("{}/symphony.v1.{method}", stage.url)).body(body);
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

pub(crate) async fn message<M: Message + Default>(response: reqwest::Response) -> M {
    let bytes = response.bytes().await.unwrap();
    M::decode(&bytes[5..]).unwrap()
}

/// R203
#[tokio::test]
async fn a_call_goes_on_in_the_callers_name() {
    let stage = Stage::open().await;
    let task = TaskRef { task_id: TASK.to_vec() }.encode_to_vec();
    let answer: Task = message(call(&stage, "Platform/GetTask", Some(token(|_| {})), task).await).await;
    assert_eq!(answer.state, "dispatched");
    assert_eq!(stage.seen.lock().unwrap().callers[0].1.actor.as_str(), ACTOR);
}

/// R139, R208: a list of what may be disputed, and the evidence of one.
#[tokio::test]
async fn what_may_be_disputed_is_listed_over_grpc() {
    let stage = Stage::open().await;
    let asked = TasksRequest { state: "verifying".to_owned(), after: vec![1, 2], limit: 9 }.encode_to_vec();
    let list: TaskList =
        message(call(&stage, "Platform/ListTasks", Some(token(|_| {})), asked.clone()).await).await;
    assert_eq!((list.tasks[0].state.as_str(), list.next.as_slice()), ("verifying", [1, 2].as_slice()));
    let task = TaskRef { task_id: TASK.to_vec() }.encode_to_vec();
    let candidate: EvidenceBundle =
        message(call(&stage, "Platform/GetCandidate", Some(token(|_| {})), task).await).await;
    assert_eq!(candidate.bundle, [4, 5, 6]);
    let nobody = call(&stage, "Platform/ListTasks", None, asked).await;
    assert_eq!(nobody.headers()["symphony-code"], "ADM-0002");
}

/// R203, R210
#[tokio::test]
async fn refusals_are_statuses_with_the_catalogue_code() {
    let stage = Stage::open().await;
    let unknown = TaskRef { task_id: vec![0; 32] }.encode_to_vec();
    for (method, token, status, code) in [
        ("Platform/GetTask", None, "16", "ADM-0002"),
        ("Platform/GetTask", Some("a.b.c".to_owned()), "16", "ADM-0002"),
        ("Platform/GetTask", Some(token(|_| {})), "5", "ADM-0004"),
        ("Elsewhere/GetTask", Some(token(|_| {})), "5", "ADM-0004"),
    ] {
        let response = call(&stage, method, token, unknown.clone()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], status, "{method}");
        assert_eq!(response.headers()["symphony-code"], code);
    }
}

/// R203, R002
#[tokio::test]
async fn a_vault_operation_is_signed_and_sealed_for_the_caller() {
    let stage = Stage::open().await;
    let forged = VaultOperation {
        actor: "mallory".into(),
        roles: vec!["operator".into()],
        request_id: "r1".into(),
        vault_id: VAULT.into(),
        operation: Some(Operation::ReadBudget(ReadBudget { subject: ACTOR.into(), ..ReadBudget::default() })),
        ..VaultOperation::default()
    };
    let response = call(&stage, "VaultAccess/Operate", Some(token(|_| {})), forged.encode_to_vec()).await;
    let answer: VaultAnswer = message(response).await;
    assert_eq!(answer.budget.len(), 1);
    let seen = stage.seen.lock().unwrap();
    assert_eq!(seen.operations[0].actor, ACTOR, "what the caller claims to be is overwritten");
    assert_eq!(seen.operations[0].roles, ["producer"]);
    assert!(seen.operations[0].expires_ms > 0);
}

/// R082, R203, R234: what the caller sealed to the Vault passes as it is, in the caller's proven name.
#[tokio::test]
async fn an_operation_that_its_caller_sealed_passes_unread() {
    let stage = Stage::open().await;
    let sealed = vec![0xa5; 70_000];
    let asked = VaultOperation {
        request_id: "r1".into(),
        vault_id: "assigned".into(),
        operation: Some(Operation::ByCaller(SealedOperation { sealed: sealed.clone() })),
        ..VaultOperation::default()
    };
    let response = call(&stage, "VaultAccess/Operate", Some(token(|_| {})), asked.encode_to_vec()).await;
    let answer: VaultAnswer = message(response).await;
    assert_eq!(answer.content, [b"sealed:".as_slice(), &sealed].concat());
    assert_eq!(stage.seen.lock().unwrap().operations[0].actor, ACTOR);
}

/// R014, R074: a receipt of the largest size passes by gRPC as by REST.
#[tokio::test]
async fn a_receipt_is_put_by_the_same_call() {
    let stage = Stage::open().await;
    let content = vec![b'x'; symphony_types::limits::DOCUMENT_BYTES_MAX];
    let put = VaultOperation {
        request_id: "r1".into(),
        vault_id: "assigned".into(),
        operation: Some(Operation::PutReceipt(PutReceipt { content: content.clone() })),
        ..VaultOperation::default()
    };
    let response = call(&stage, "VaultAccess/Operate", Some(token(|_| {})), put.encode_to_vec()).await;
    let answer: VaultAnswer = message(response).await;
    assert_eq!((answer.accepted, answer.receipts.len()), (1, 1));
    let seen = stage.seen.lock().unwrap();
    let Some(Operation::PutReceipt(put)) = &seen.operations[0].operation else { panic!("another operation") };
    assert!(put.content == content && seen.operations[0].actor == ACTOR);
}

/// R083, R203, R209, R234: ticket, parse and drawing by gRPC as by REST; the same ticket is the same task.
#[tokio::test]
async fn a_receipt_is_parsed_and_drawn_by_calls() {
    let stage = Stage::open().await;
    let operate = async |operation| {
        let asked = VaultOperation {
            request_id: "r1".into(),
            vault_id: "assigned".into(),
            operation: Some(operation),
            ..VaultOperation::default()
        };
        let response = call(&stage, "VaultAccess/Operate", Some(token(|_| {})), asked.encode_to_vec()).await;
        message::<VaultAnswer>(response).await
    };
    let ticket = operate(Operation::ParseReceipt(ParseReceipt { receipt_id: vec![1; 32] })).await.ticket;
    let submit = SubmitParseRequest { ticket: ticket.clone() }.encode_to_vec();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let response = call(&stage, "Platform/SubmitParse", Some(token(|_| {})), submit.clone()).await;
        tasks.push(message::<Task>(response).await);
    }
    assert_eq!((tasks[0].task_class.as_str(), &tasks[0].task_id), ("parse", &tasks[1].task_id));
    assert_eq!(stage.seen.lock().unwrap().parses, [ticket.clone(), ticket]);
    let drawn = operate(Operation::DrawReceipt(DrawReceipt { receipt_id: vec![1; 32], page: 3 })).await;
    assert!(drawn.content.starts_with(b"\x89PNG") && drawn.content.ends_with(&[3]));
}

/// R083, R203: a ticket serves nobody but the person that it names, and none without a token.
#[tokio::test]
async fn anothers_ticket_is_refused() {
    let stage = Stage::open().await;
    let submit = SubmitParseRequest { ticket: b"mallory/r1/00".to_vec() }.encode_to_vec();
    for (token, code) in [(Some(token(|_| {})), "ADM-0003"), (None, "ADM-0002")] {
        let response = call(&stage, "Platform/SubmitParse", token, submit.clone()).await;
        assert_eq!(response.headers()["symphony-code"], code);
    }
    assert!(stage.seen.lock().unwrap().parses.is_empty());
}
