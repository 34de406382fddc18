//! Reason codes in words: why something is not known. A code without words (of a newer agent) is shown by
//! itself.

use crate::text::{Lang, Text};

/// Code and its words, by code.
const REASONS: &[(&str, &str, &str)] = &[
    ("aborted", "中断されました", "it was aborted"),
    ("access_list_not_readable", "アクセス権の設定を読めません", "the access list cannot be read"),
    ("api_error", "OSの機能がエラーを返しました", "the system's interface answered with an error"),
    ("api_not_supported", "この版のOSにない機能です", "this version of the system does not have it"),
    ("body_missing", "内容が届いていません", "the content is missing"),
    ("busy", "別の処理を実行中です", "busy with something else"),
    ("child_died", "収集用のプロセスが異常終了しました", "the collecting process died"),
    ("command_failed", "コマンドが失敗しました", "the command failed"),
    ("component_store_damaged", "コンポーネントストアが壊れています", "the component store is damaged"),
    ("damaged", "壊れています", "damaged"),
    ("damaged_entries", "壊れた項目があります", "some entries are damaged"),
    ("data_store_damaged", "更新データベースが壊れています", "the update database is damaged"),
    ("declared_path_missing", "登録されたパスがありません", "a declared path is missing"),
    ("declared_task_missing", "登録されたタスクがありません", "a declared task is missing"),
    ("declared_unit_missing", "登録されたユニットがありません", "a declared unit is missing"),
    ("desktop_not_known", "デスクトップ環境を判別できません", "the desktop environment is not known"),
    ("device_not_mounted", "デバイスがマウントされていません", "the device is not mounted"),
    (
        "directory_policy_not_read",
        "ディレクトリサービスの方針を読んでいません",
        "the policy of the directory was not read",
    ),
    (
        "directory_users_not_listed",
        "ディレクトリサービスのユーザーは一覧に含まれません",
        "users of the directory are not listed",
    ),
    ("disabled_by_policy", "ポリシーで収集が無効です", "collecting is switched off by policy"),
    ("disk_full", "ディスクがいっぱいです", "the disk is full"),
    ("event_log_error", "イベントログを読めません", "the event log cannot be read"),
    ("events_damaged", "イベントログが壊れています", "the event log is damaged"),
    ("export_damaged", "レジストリの書き出しが壊れています", "the registry export is damaged"),
    ("format_not_supported", "対応していない形式です", "the format is not supported"),
    ("hive_missing", "レジストリのファイルがありません", "the registry hive is missing"),
    ("hive_outdated", "レジストリの控えが古くなっています", "the registry hive is outdated"),
    ("io_error", "読み込みエラー", "reading failed"),
    ("live_only", "稼働中のOSでだけ分かります", "only a running system can tell"),
    ("local_time_without_zone", "時刻にタイムゾーンがありません", "the time has no zone"),
    ("malformed", "形式が正しくありません", "malformed"),
    ("metadata_missing", "更新情報がありません", "update metadata is missing"),
    (
        "module_stream_not_in_use",
        "モジュールのストリームが使われていないか、どのリポジトリにもありません",
        "this stream of the module is not in use, or in no repository",
    ),
    ("name_not_resolved", "名前を解決できません", "the name could not be resolved"),
    ("no_account_api", "アカウントの機能を利用できません", "the account interface is not available"),
    ("no_administrators_group", "管理者グループが見つかりません", "there is no group of administrators"),
    ("no_device_nodes", "デバイスの情報がありません", "there are no device nodes"),
    ("no_device_trees", "デバイスの一覧がありません", "there are no device trees"),
    ("no_event_log", "イベントログがありません", "there is no event log"),
    ("no_event_logs_in_root", "イベントログがありません", "there are no event logs"),
    ("no_kernel_log", "カーネルログを読めません", "there is no kernel log"),
    ("no_operating_system_found", "OSが見つかりません", "no operating system was found"),
    ("no_programs_in_root", "プログラムを実行できない環境です", "programs cannot be run there"),
    ("no_registry", "レジストリがありません", "there is no registry"),
    ("no_service_manager", "サービス管理の仕組みがありません", "there is no service manager"),
    ("no_source", "情報源がありません", "there is no source"),
    ("no_such_wmi_class", "WMIにその情報がありません", "WMI does not have it"),
    ("no_thread", "処理を開始できません", "no thread could be started"),
    ("no_wmi", "WMIを利用できません", "WMI is not available"),
    ("not_a_regular_file", "通常のファイルではありません", "not a regular file"),
    ("not_admin_only", "管理者以外が書き換えられます", "others than administrators may write it"),
    ("not_canonical", "正規の形ではありません", "not in canonical form"),
    ("not_exported", "レジストリの書き出しに含まれていません", "no registry export holds it"),
    ("not_given", "理由は示されていません", "no reason was given"),
    ("not_implemented", "未対応です", "not implemented"),
    ("not_present", "存在しません", "not present"),
    ("not_reported", "報告されていません", "not reported"),
    ("not_windows", "Windowsではありません", "not Windows"),
    ("not_yet_collected", "まだ収集していません", "not yet collected"),
    ("other_volume", "別のボリュームにあります", "on another volume"),
    ("out_of_memory", "メモリー不足です", "out of memory"),
    ("panicked", "収集処理が異常終了しました", "the probe failed unexpectedly"),
    ("permission_denied", "権限がありません", "permission denied"),
    ("product_not_read", "製品の情報を読んでいません", "the product was not read"),
    ("proxy_authentication", "プロキシが認証を求めています", "the proxy asks for authentication"),
    ("registry_link", "レジストリのリンクはたどりません", "links in the registry are not followed"),
    (
        "regular_expression_pin",
        "正規表現による固定は判定していません",
        "pins by regular expression are not judged",
    ),
    ("relative_program", "プログラムの場所が確かではありません", "the program has no absolute path"),
    ("search_incomplete", "更新の確認が完了していません", "the search for updates was not complete"),
    ("server_refused", "サーバーが拒否しました", "the server refused"),
    ("server_timed_out", "サーバーが時間内に応答しません", "the server did not answer in time"),
    ("server_unreachable", "サーバーに接続できません", "the server cannot be reached"),
    ("service_disabled", "サービスが無効です", "the service is disabled"),
    (
        "service_manager_not_running",
        "サービス管理の仕組みが動いていません",
        "the service manager is not running",
    ),
    ("service_stopping", "サービスを停止中です", "the service is stopping"),
    ("source_gap", "一部の情報源を読めていません", "some sources were not read"),
    ("stale", "古くなっています", "stale"),
    ("still_running", "まだ実行中です", "still running"),
    ("time_in_future", "時刻が未来です", "the time lies in the future"),
    ("time_limit", "時間の上限に達しました", "the time limit was reached"),
    ("timed_out", "時間切れ", "timed out"),
    ("tls_failed", "TLS接続に失敗しました", "TLS failed"),
    ("too_large", "大きすぎます", "too large"),
    ("too_many_links", "リンクが多すぎます", "too many links"),
    ("truncated", "途中までです", "truncated"),
    ("unknown_hive", "対応していないレジストリの場所です", "the registry hive is not known"),
    ("unread_lines", "読めない行があります", "some lines were not understood"),
    ("unread_rows", "読めない行があります", "some rows were not understood"),
    ("unreadable", "読めません", "unreadable"),
    ("unreadable_body", "内容を読めません", "the content is unreadable"),
    ("unspecified", "理由は示されていません", "no reason was given"),
    ("version_not_readable", "版を読み取れません", "the version cannot be read"),
    ("wmi_error", "WMIがエラーを返しました", "WMI answered with an error"),
];

/// A code in words.
#[must_use]
pub fn in_words(code: &str, lang: Lang) -> String {
    let place = REASONS.binary_search_by(|(known, _, _)| (*known).cmp(code));
    place.map_or_else(
        |_| code.to_owned(),
        |place| {
            let (_, ja, en) = REASONS[place];
            Text::new(ja, en).get(lang).to_owned()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_sorted_by_unique_codes() {
        for pair in REASONS.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} stands before {}", pair[0].0, pair[1].0);
        }
    }

    #[test]
    fn what_has_no_words_is_shown_by_its_code() {
        assert_eq!(in_words("permission_denied", Lang::En), "permission denied");
        assert_eq!(in_words("moon_eclipsed", Lang::Ja), "moon_eclipsed");
    }
}
