//! Sentences that every control may use, beside its own.

use crate::fact::{FactKind, reason, word};
use crate::finding::Message;
use crate::text::{Lang, Text};

static COMMON: &[(&str, Text)] = &[
    (
        crate::finding::HOST_SILENT,
        Text::new(
            "{last_report}を最後に報告がないため不明です",
            "Unknown: the host has been silent since {last_report}",
        ),
    ),
    (
        crate::finding::NOT_JUDGED,
        Text::new(
            "{judged_at}を最後に判定されておらず、前回の結果の有効期限が過ぎているため不明です",
            "Not judged since {judged_at}, and that result no longer holds by itself",
        ),
    ),
    (
        "fact_partial",
        Text::new(
            "「{kind}」の一部が収集できていないため判定できません(理由: {reason})",
            "“{kind}” was collected with gaps, so this cannot be judged (reason: {reason})",
        ),
    ),
    (
        "fact_absent",
        Text::new(
            "「{kind}」が見つからないため判定できません(理由: {reason})",
            "“{kind}” is not there, so this cannot be judged (reason: {reason})",
        ),
    ),
    (
        "fact_not_reported",
        Text::new(
            "「{kind}」がまだ報告されていないため判定できません",
            "“{kind}” has not been reported yet, so this cannot be judged",
        ),
    ),
    (
        "fact_unsupported",
        Text::new(
            "「{kind}」はこの環境では収集できないため判定できません(理由: {reason})",
            "“{kind}” cannot be collected here, so this cannot be judged (reason: {reason})",
        ),
    ),
    (
        "fact_denied",
        Text::new(
            "「{kind}」を読む権限がないため判定できません(理由: {reason})",
            "“{kind}” may not be read, so this cannot be judged (reason: {reason})",
        ),
    ),
    (
        "fact_failed",
        Text::new(
            "「{kind}」の収集に失敗したため判定できません(理由: {reason})",
            "Collecting “{kind}” failed, so this cannot be judged (reason: {reason})",
        ),
    ),
    (
        "fact_stale",
        Text::new(
            "「{kind}」の情報が古いため判定できません",
            "“{kind}” is too old, so this cannot be judged",
        ),
    ),
    (
        "fact_timed_out",
        Text::new(
            "「{kind}」の収集が時間内に終わらなかったため判定できません",
            "Collecting “{kind}” took too long, so this cannot be judged",
        ),
    ),
    (
        "time_zone_invalid",
        Text::new(
            "ポリシーのタイムゾーン「{zone}」を解釈できないため、日数を数えられません",
            "The policy's time zone “{zone}” is not known, so days cannot be counted",
        ),
    ),
    (
        "setting_unknown",
        Text::new(
            "「{kind}」のうち判定に必要な値({field})が分かりません",
            "A value of “{kind}” that decides this ({field}) is not known",
        ),
    ),
];

/// Renders `message` from `own` sentences or the common ones; an unknown code is shown as it is.
pub(super) fn render(own: &[(&'static str, Text)], message: &Message, lang: Lang) -> String {
    let Some((_, text)) = own.iter().chain(COMMON).find(|(code, _)| *code == message.code) else {
        return message.code.clone();
    };
    let mut message = message.clone();
    if let Some(kind) = message.params.get("kind").and_then(|k| k.parse::<FactKind>().ok()) {
        message.params.insert("kind".into(), kind.title().get(lang).into());
    }
    if let Some(code) = message.params.get("reason") {
        message.params.insert("reason".into(), reason::in_words(code, lang));
    }
    if let Some(field) = message.params.get("field") {
        message.params.insert("field".into(), word::pointer(field, lang));
    }
    message.render(*text, lang)
}

/// `unknown` because one value inside a known fact is not known.
pub(super) fn setting_unknown(kind: FactKind, field: &str) -> Message {
    Message::new("setting_unknown").with("kind", kind).with("field", field)
}

/// Whether `code` is one of the common sentences.
#[cfg(test)]
pub(super) fn is_common(code: &str) -> bool {
    COMMON.iter().any(|(c, _)| *c == code)
}
