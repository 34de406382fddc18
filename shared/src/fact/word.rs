//! Words for the members of facts and policy, so that nobody has to read field names. A member without a
//! word (of a newer agent) is shown by its own name.

use crate::text::{Lang, Text};

/// Member name and its words, by name.
const WORDS: &[(&str, &str, &str)] = &[
    ("active", "有効", "active"),
    ("address", "アドレス", "address"),
    ("addresses", "アドレス", "addresses"),
    ("admin_rules", "管理者向けの規則", "rules for administrators"),
    ("administrator", "管理者", "administrator"),
    ("administrator_via", "管理者権限の由来", "administrator by"),
    ("after_s", "起動までの秒数", "after (seconds)"),
    ("allow_list", "許可リスト", "allow list"),
    ("allowed", "許可", "allowed"),
    ("applies_to_root", "rootにも適用", "applies to root"),
    ("arch", "アーキテクチャ", "architecture"),
    ("arrivals", "接続の記録", "arrivals"),
    ("as_of", "時点", "as of"),
    ("aside", "判定に影響しない", "no answer rests on it"),
    ("at", "日時", "at"),
    ("auto_update", "自動更新", "automatic update"),
    ("automatic", "自動更新", "automatic update"),
    ("autorun", "自動実行", "auto-run"),
    ("awaiting_restart", "再起動待ち", "awaiting restart"),
    ("backup", "バックアップ", "backup"),
    ("blocked", "遮断", "blocked"),
    ("board", "マザーボード", "board"),
    ("body", "内容", "body"),
    ("booted_at", "起動日時", "booted at"),
    ("build", "ビルド", "build"),
    ("builds", "ビルド", "builds"),
    ("built_in", "組込みアカウント", "built in"),
    ("bus", "接続方式", "bus"),
    ("candidate", "候補の版", "candidate version"),
    ("catalog", "カタログ", "catalogue"),
    ("chassis", "筐体", "chassis"),
    ("chassis_code", "筐体コード", "chassis code"),
    ("class", "分類", "class"),
    ("clock_offset_ms", "時計のずれ(ミリ秒)", "clock offset (ms)"),
    ("code", "コード", "code"),
    ("codename", "コードネーム", "code name"),
    ("collected_at", "取得日時", "collected at"),
    ("compiled_at", "作成日時", "compiled at"),
    ("complexity", "複雑さの要件", "complexity"),
    ("confidence", "確かさ", "confidence"),
    ("content", "内容", "content"),
    ("copies", "世代数", "copies kept"),
    ("cores", "コア数", "cores"),
    ("count", "件数", "count"),
    ("cpe", "CPE", "CPE"),
    ("cpu", "CPU", "CPU"),
    ("credential", "認証情報", "credentials"),
    ("cves", "CVE", "CVEs"),
    ("cvss", "CVSS", "CVSS"),
    ("date", "日付", "date"),
    ("days", "日数", "days"),
    ("default_inbound", "受信の既定動作", "default for inbound"),
    ("deferral_days", "延期日数", "deferral (days)"),
    ("desktop", "デスクトップ環境", "desktop"),
    ("destination", "保存先", "destination"),
    ("destination_class", "保存先の種類", "kind of destination"),
    ("detail", "詳細", "detail"),
    ("device", "デバイス", "device"),
    ("digest", "ダイジェスト", "digest"),
    ("directories", "フォルダー", "folders"),
    ("disks", "ディスク", "disks"),
    ("domain", "ドメイン", "domain"),
    ("drives", "ドライブ", "drives"),
    ("dropped_reports", "破棄した報告", "dropped reports"),
    ("edition", "エディション", "edition"),
    ("effect", "効果", "effect"),
    ("elevated", "管理者権限で動作", "elevated"),
    ("enabled", "有効", "enabled"),
    ("encrypted", "暗号化", "encrypted"),
    ("encryption", "暗号化", "encryption"),
    ("encryption_method", "暗号化方式の詳細", "encryption method"),
    ("evidence", "根拠", "evidence"),
    ("failure_delay_ms", "失敗時の待ち時間(ミリ秒)", "delay after a failure (ms)"),
    ("family", "OSの系統", "OS family"),
    ("file_system", "ファイルシステム", "file system"),
    ("firmware", "ファームウェア", "firmware"),
    ("first_seen", "初回検出", "first seen"),
    ("first_seen_at", "初回検出", "first seen"),
    ("first_seen_source", "初回検出の情報源", "source of first sight"),
    ("fqdn", "完全修飾ドメイン名", "full domain name"),
    ("free_bytes", "空き容量(バイト)", "free (bytes)"),
    ("frequency_h", "頻度(時間)", "frequency (hours)"),
    ("freshness", "情報の鮮度", "freshness"),
    ("gateways", "ゲートウェイ", "gateways"),
    ("held", "保留中", "held back"),
    ("held_packages", "保留中のパッケージ", "packages held back"),
    ("hidden", "非表示", "hidden"),
    ("history", "履歴", "history"),
    ("history_days", "接続記録に必要な日数", "days of records needed"),
    ("history_kept_days", "使わない媒体の記録が残る日数", "unused media kept (days)"),
    ("history_since", "接続記録の始まり", "records since"),
    ("hostname", "ホスト名", "host name"),
    ("hypervisor", "ハイパーバイザー", "hypervisor"),
    ("hypervisor_host", "仮想化基盤", "hypervisor host"),
    ("id", "ID", "id"),
    ("id_like", "近いディストリビューション", "similar distributions"),
    ("in_force", "適用中", "in force"),
    ("installation_type", "インストールの種類", "installation type"),
    ("installed", "導入済みの版", "installed version"),
    ("installed_at", "導入日時", "installed at"),
    ("interfaces", "ネットワークインターフェース", "interfaces"),
    ("items", "一覧", "items"),
    ("jobs", "ジョブ", "jobs"),
    ("join", "参加先", "joined"),
    ("kernel_newest", "最新のカーネル", "newest kernel"),
    ("kernel_running", "稼働中のカーネル", "running kernel"),
    ("key", "キー", "key"),
    ("kind", "種類", "kind"),
    ("last_arrival", "最後の接続", "last arrival"),
    ("last_attempt", "最終実行", "last attempt"),
    ("last_full_scan", "最終フルスキャン", "last full scan"),
    ("last_install_success", "最後に成功した更新", "last successful installation"),
    ("last_logon", "最終ログオン", "last log-on"),
    ("last_quick_scan", "最終クイックスキャン", "last quick scan"),
    ("last_removal", "最後の取外し", "last removal"),
    ("last_search_success", "最後に成功した更新確認", "last successful search"),
    ("last_success", "最終成功", "last success"),
    ("length", "件数", "count"),
    ("listening", "待ち受け中のサービス", "listening services"),
    ("locale", "ロケール", "locale"),
    ("locked", "ロック中", "locked"),
    ("lockout_duration_s", "ロックアウト期間(秒)", "lock-out (seconds)"),
    ("lockout_max", "ロックアウトまでの最大試行回数", "most attempts before lock-out"),
    ("lockout_threshold", "ロックアウトまでの試行回数", "attempts before lock-out"),
    ("lockout_window_s", "試行を数える期間(秒)", "lock-out window (seconds)"),
    ("locks", "画面ロック", "locks"),
    ("mac", "MACアドレス", "MAC address"),
    ("machine_id", "マシンID", "machine id"),
    ("maker", "メーカー", "maker"),
    ("malware", "マルウェア対策", "malware protection"),
    ("max_age_days", "最長日数", "longest age (days)"),
    ("mechanism", "仕組み", "mechanism"),
    ("mechanisms", "仕組み", "mechanisms"),
    ("media_watch", "可搬媒体の監視", "watching of media"),
    ("media_watched_since", "可搬媒体の監視の開始", "media watched since"),
    ("memory_bytes", "メモリー(バイト)", "memory (bytes)"),
    ("metadata", "更新情報", "update metadata"),
    ("min_classes", "文字種の最少数", "least character classes"),
    ("min_length", "最短の長さ", "least length"),
    ("missing", "不足している更新", "missing updates"),
    ("mode", "モード", "mode"),
    ("model", "型番", "model"),
    ("model_version", "型番の版", "model version"),
    ("mount", "マウント先", "mount point"),
    ("name", "名前", "name"),
    ("name_servers", "DNSサーバー", "name servers"),
    ("needed", "必要なサービス", "needed services"),
    ("next_run", "次回実行", "next run"),
    ("oldest_copy", "最も古い世代", "oldest copy"),
    ("operation", "操作", "operation"),
    ("origin", "配布元", "origin"),
    ("package", "パッケージ", "package"),
    ("password", "パスワード", "password"),
    ("password_changed_at", "パスワード変更日時", "password changed at"),
    ("patch", "パッチ", "patches"),
    ("paused_until", "一時停止の期限", "paused until"),
    ("pending", "未適用", "pending"),
    ("permits", "許可内容", "permits"),
    ("phased", "段階的配信", "phased"),
    ("policy", "ポリシー", "policy"),
    ("port", "ポート", "port"),
    ("present", "接続中", "present"),
    ("previous_version", "以前の版", "previous version"),
    ("probes", "収集項目", "probes"),
    ("product", "製品", "product"),
    ("product_id", "製品ID", "product id"),
    ("product_uuid", "製品UUID", "product UUID"),
    ("products", "製品", "products"),
    ("profiles", "プロファイル", "profiles"),
    ("program", "プログラム", "program"),
    ("protection_on", "保護が有効", "protection on"),
    ("protocol", "プロトコル", "protocol"),
    ("published_at", "公開日", "published"),
    ("read_only", "読み取り専用", "read-only"),
    ("real_time", "リアルタイム保護", "real-time protection"),
    ("reason", "理由", "reason"),
    ("refreshed_at", "更新情報の取得日時", "refreshed at"),
    ("release_moves", "版の切替え", "release moves"),
    ("released_at", "公開日", "released"),
    ("removable", "可搬媒体", "removable media"),
    ("resident_bytes", "使用メモリー(バイト)", "memory used (bytes)"),
    ("restart_pending_since", "再起動待ちの開始", "restart pending since"),
    ("restrictions", "制限", "restrictions"),
    ("result", "結果", "result"),
    ("retention_days", "保持日数", "kept for (days)"),
    ("role", "役割", "role"),
    ("rotational", "回転式", "rotational"),
    ("rules", "規則", "rules"),
    ("running", "稼働中", "running"),
    ("scan_days", "スキャンの最長間隔(日)", "days between scans"),
    ("scheduled", "予定あり", "scheduled"),
    ("scheduled_scan", "定期スキャン", "scheduled scan"),
    ("schema", "書式の版", "schema"),
    ("scope", "範囲", "scope"),
    ("screen_lock_s", "画面ロックまでの秒数", "screen lock after (seconds)"),
    ("screen_locks", "画面ロック", "screen locks"),
    ("secure_boot", "セキュアブート", "secure boot"),
    ("security", "セキュリティ更新", "security update"),
    ("security_known", "セキュリティ更新かの判別", "security known"),
    ("serial", "シリアル番号", "serial"),
    ("serial_genuine", "固有のシリアル番号", "serial is the device's own"),
    ("serial_rejected", "採用しなかったシリアル番号", "serial not used"),
    ("server", "サーバー", "server"),
    ("server_by", "更新サーバーの根拠", "how the update server is known"),
    ("services", "サービス", "services"),
    ("setting", "設定", "setting"),
    ("settings", "設定", "settings"),
    ("severity", "深刻度", "severity"),
    ("signature_days", "定義ファイルの最長日数", "age of signatures (days)"),
    ("signature_version", "定義ファイルの版", "signature version"),
    ("signatures_at", "定義ファイルの日時", "signatures of"),
    ("signatures_current", "定義ファイルが最新", "signatures current"),
    ("signs", "再起動が必要な兆候", "signs"),
    ("size_bytes", "容量(バイト)", "size (bytes)"),
    ("sockets", "ソケット", "sockets"),
    ("source", "情報源", "source"),
    ("source_package", "元のパッケージ", "source package"),
    ("sources", "取得元", "sources"),
    ("spool_bytes", "送信待ち(バイト)", "spool (bytes)"),
    ("spool_reports", "送信待ちの報告", "spooled reports"),
    ("start", "起動方法", "start"),
    ("started_at", "開始日時", "started at"),
    ("state", "状態", "state"),
    ("status", "状態", "status"),
    ("subject", "対象", "subject"),
    ("support", "サポート期限", "support"),
    ("support_end", "サポート終了", "end of support"),
    ("system_accounts", "システムアカウント", "system accounts"),
    ("tamper_protection", "改ざん防止", "tamper protection"),
    ("target", "対象", "target"),
    ("targets", "対象", "targets"),
    ("threads", "スレッド数", "threads"),
    ("time_zone", "タイムゾーン", "time zone"),
    ("title", "名称", "title"),
    ("tls_trust", "TLSの信頼元", "TLS trust"),
    ("tpm", "TPM", "TPM"),
    ("traces", "痕跡", "traces"),
    ("truncated", "省略あり", "truncated"),
    ("unfiltered", "制限のない通信", "unfiltered"),
    ("up", "接続中", "up"),
    ("usb_storage", "USBストレージ", "USB storage"),
    ("used_pct", "使用率(%)", "used (%)"),
    ("user", "ユーザー", "user"),
    ("users", "ユーザー", "users"),
    ("uses", "使用", "uses"),
    ("uuid", "UUID", "UUID"),
    ("valid_until", "有効期限", "valid until"),
    ("value", "値", "value"),
    ("vendor", "ベンダー", "vendor"),
    ("vendor_id", "ベンダーID", "vendor id"),
    ("version", "版", "version"),
    ("version_full", "詳細な版", "full version"),
    ("virtualization", "仮想化", "virtualization"),
    ("volumes", "ボリューム", "volumes"),
    ("workgroup", "ワークグループ", "workgroup"),
];

/// The word for a member; `None` where there is none.
#[must_use]
pub fn of(member: &str) -> Option<Text> {
    let place = WORDS.binary_search_by(|(name, _, _)| (*name).cmp(member)).ok()?;
    let (_, ja, en) = WORDS[place];
    Some(Text::new(ja, en))
}

/// A member in words: its parts joined by dots are read one by one.
#[must_use]
pub fn member(name: &str, lang: Lang) -> String {
    let words: Vec<String> = name.split('.').map(|part| part_in_words(part, lang)).collect();
    words.join(" / ")
}

/// A JSON pointer in words: `/pending/3/candidate` is the candidate version of the fourth pending one.
/// Empty for the whole.
#[must_use]
pub fn pointer(pointer: &str, lang: Lang) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut list = "";
    for part in pointer.split('/').filter(|p| !p.is_empty()) {
        // A build of Windows is a number too, and no place in a list.
        let index = part.parse::<u32>().ok().filter(|_| list != "builds");
        out.push(match (index, lang) {
            (Some(index), Lang::Ja) => format!("{}件目", index.saturating_add(1)),
            (Some(index), Lang::En) => format!("no. {}", index.saturating_add(1)),
            (None, _) => part_in_words(part, lang),
        });
        list = part;
    }
    out.join(" / ")
}

fn part_in_words(part: &str, lang: Lang) -> String {
    of(part).map_or_else(|| part.to_owned(), |word| word.get(lang).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_by_unique_names() {
        for pair in WORDS.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} stands before {}", pair[0].0, pair[1].0);
        }
    }

    #[test]
    fn pointers_are_read_part_by_part_and_what_is_unknown_stays() {
        assert_eq!(pointer("/pending/3/candidate", Lang::En), "pending / no. 4 / candidate version");
        assert_eq!(pointer("/pending/0/flux", Lang::Ja), "未適用 / 1件目 / flux");
        assert_eq!(pointer("/builds/19045/missing", Lang::En), "builds / 19045 / missing updates");
        assert_eq!(pointer("", Lang::Ja), "");
        assert_eq!(member("tpm.version", Lang::Ja), "TPM / 版");
    }
}
