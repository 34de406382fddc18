//! Help in Japanese: every sentence of the command line, by its English one.

use tenken_service::help::Sentences;
use tenken_shared::text::Lang;

/// Does something with all sentences: those below and the list of views, which is made.
pub fn with<T>(act: impl FnOnce(&Sentences<'_>) -> T) -> T {
    let (en, ja) = (super::query::views(Lang::En), super::query::views(Lang::Ja));
    let all: Vec<_> = JAPANESE.iter().copied().chain([(en.as_str(), ja.as_str())]).collect();
    act(&all)
}

/// The sentences. A test names those that are missing.
const JAPANESE: &Sentences<'_> = &[
    (
        "Collector: receives signed reports, stores, judges, answers and freezes evidence.",
        "点検コレクター: 署名された報告を受け取って保存し、判定し、問い合わせに答え、証跡を残します。",
    ),
    ("Language: ja or en. Default: that of the environment", "表示の言語: ja または en。既定は環境に従う"),
    ("How to print", "表示の形式"),
    ("For people", "人が読む表"),
    ("One JSON document", "1つのJSON文書"),
    ("Aligned columns for a terminal", "画面向けの表"),
    ("CSV with byte-order mark", "CSV（BOM付き）"),
    // Where the data is.
    ("Folder of everything the embedded store keeps", "内蔵データベースのすべてを置くフォルダー"),
    ("PostgreSQL instead of the embedded store", "内蔵データベースの代わりに使うPostgreSQL"),
    ("Settings file (TOML)", "設定ファイル（TOML）"),
    (
        "Organisation. Default: `default`, or with --server the one of the API token",
        "組織。既定は `default`、--server があればAPIトークンの組織",
    ),
    (
        "Address of a collector to administer over its API, for example <https://tenken.example:8443>. Default: the data here",
        "API経由で管理するコレクターのアドレス。例: <https://tenken.example:8443>。既定はこの機器のデータ",
    ),
    (
        "File with the API token for --server. Default: the variable `TENKEN_API_TOKEN`",
        "--server 用のAPIトークンのファイル。既定は環境変数 `TENKEN_API_TOKEN`",
    ),
    (
        "Certificate authority of --server (PEM), as `ca show` prints it. Default: those this system trusts",
        "--server の認証局（PEM、`ca show` が表示するもの）。既定はこのシステムが信頼する認証局",
    ),
    // Commands.
    ("Runs the server", "サーバーを動かす"),
    ("The server as a service of this machine", "サーバーをこの機器のサービスにする"),
    ("Brings the store's schema up to date and ends", "データベースの構造を最新にして終了"),
    ("Organisations", "組織"),
    ("Enrolment tokens", "登録トークン"),
    ("Hosts", "機器"),
    ("Result per criterion", "評価基準ごとの結果"),
    ("What is collected and judged by", "収集と判定のポリシー"),
    ("Dated outside data", "日付のある外部データ（カタログ）"),
    ("Failing controls that somebody answers for", "不適合のうち、責任者を決めて例外とするもの"),
    (
        "What people state about criteria that no machine can answer",
        "機械では答えられない評価基準についての申告",
    ),
    ("Frozen moments", "スナップショット（ある時点の保存）"),
    ("Checks an exported snapshot without a server", "書き出したスナップショットをサーバーなしで検証"),
    ("Takes files in", "ファイルを取り込む"),
    ("Keys that sign replies", "応答に署名する鍵"),
    ("The collector's certificate authority", "コレクターの認証局"),
    ("People who log in to the console", "コンソールにログインする人"),
    ("Credentials of programs that ask the JSON API", "JSON APIを使うプログラムの認証情報（APIトークン）"),
    ("Read-only SQL over the published views", "公開ビューへの読み取り専用SQL"),
    ("Prints the OpenAPI document of the JSON API", "JSON APIのOpenAPI文書を表示"),
    ("Prints a commented settings file", "説明の付いた設定ファイルを表示"),
    ("Print every setting with its default", "すべての設定を既定値とともに表示"),
    // serve, service
    (
        "Address and port to listen on (default 0.0.0.0:8443; port 0 takes a free one)",
        "待ち受けるアドレスとポート（既定は 0.0.0.0:8443。ポート0なら空いているもの）",
    ),
    (
        "Address agents and people use, for example `https://tenken.example:8443`",
        "エージェントと人が使うアドレス。例: `https://tenken.example:8443`",
    ),
    (
        "Make it a service, start it now and at every boot",
        "サービスとして登録し、今すぐ、また起動のたびに開始",
    ),
    ("Stop the service and remove it; its data stays", "サービスを停止して削除。データは残る"),
    ("Start", "開始"),
    ("Stop", "停止"),
    (
        "What the service manager says; exit code 3 where it does not run",
        "サービス管理が示す状態を表示。動いていなければ終了コード3",
    ),
    (
        "Live under the service manager of Windows, which alone starts this",
        "Windowsのサービス管理の下で動く（サービス管理だけが起動する）",
    ),
    // org
    (
        "Adds an organisation. Nothing crosses between organisations but users who have a role in several",
        "組織を追加。組織の間で共有されるのは、複数の組織に役割を持つユーザーだけ",
    ),
    ("Lists organisations", "組織の一覧"),
    ("Id, for commands and addresses", "コマンドやアドレスで使うID"),
    ("Name for people", "表示名"),
    // token
    ("Makes a token and prints it once", "トークンを作り、一度だけ表示"),
    ("Lists tokens", "トークンの一覧"),
    ("Takes a token back; hosts already enrolled stay", "トークンを取り消す。登録済みの機器はそのまま"),
    ("Days until it ends", "有効日数"),
    (
        "How many hosts may use it. Hosts of a token for one are confirmed at once",
        "使える機器の台数。1台用のトークンで登録した機器はすぐに確認済みになる",
    ),
    ("Group its hosts join", "登録した機器を入れるグループ"),
    (
        "For pooled virtual desktops: every start may become a host of its own",
        "プール型の仮想デスクトップ用。起動のたびに別の機器になりうる",
    ),
    ("Addresses it may be used from, for example 192.168.1.0/24", "使用を許すアドレス。例: 192.168.1.0/24"),
    ("What it is for", "用途"),
    (
        "Address of the collector for the agents; several in order of preference. Default: what `serve` used last",
        "エージェントが使うコレクターのアドレス。複数なら優先順。既定は `serve` が最後に使ったもの",
    ),
    ("Id of the token", "トークンのID"),
    // api-token
    ("Lists tokens, without their secrets", "トークンの一覧（秘密の部分は表示しない）"),
    ("Ends a token at once", "トークンをすぐに無効にする"),
    ("What it may do", "役割"),
    ("Days until it ends; without it, never", "有効日数。指定がなければ無期限"),
    (
        "For what concerns every organisation too: catalogues, new organisations, users of several",
        "全組織に関わる操作（カタログ、組織の追加、複数の組織に属するユーザー）も許す",
    ),
    // host
    ("Lists hosts", "機器の一覧"),
    ("Shows one host with the state of its facts", "1台の機器と、収集した項目の状態を表示"),
    ("Confirms that a pending host is the company's", "未確認の機器を自社のものと確認"),
    (
        "Takes a host out of service; its reports are refused from now on",
        "機器を廃止。以後その報告は拒否する",
    ),
    ("Ends the trust in a host's key for good", "機器の鍵を永久に失効させる"),
    ("Id or, where only one host has it, name", "ID、または1台だけが持つ名前"),
    // criteria
    ("One host alone, by id or name", "1台の機器だけ（IDまたは名前）"),
    ("Criteria that no control serves and nobody answered too", "判定項目も回答もない評価基準も表示"),
    // policy
    ("Prints the policy in force, or an older version", "有効なポリシー、または過去の版を表示"),
    (
        "Puts a new version in force from a JSON or TOML file; `-` is standard input",
        "JSONまたはTOMLのファイルから新しい版を有効にする。`-` は標準入力",
    ),
    ("Lists the versions", "版の一覧"),
    ("Version. Default: the one in force", "版。既定は有効な版"),
    (
        "JSON or TOML; members that are absent take their default, unknown ones are an error",
        "JSONまたはTOML。書いていない項目は既定値になり、未知の項目はエラーになる",
    ),
    // catalog, import
    ("Prints which catalogue is in use", "使用中のカタログを表示"),
    (
        "Takes a catalogue from a JSON file; all hosts are judged again. Which one it is shows from its content",
        "JSONファイルからカタログを取り込み、全機器を判定し直す。種類は内容から判断する",
    ),
    ("Which catalogue", "カタログの種類"),
    ("End of support", "サポート終了日"),
    ("Security releases of Windows by build", "Windowsのビルドごとのセキュリティ更新"),
    (
        "How to print. JSON is the catalogue itself, in the form that `import` takes",
        "表示の形式。JSONはカタログそのもので、`import` で取り込める形",
    ),
    ("The file; `-` is standard input", "ファイル。`-` は標準入力"),
    (
        "Replaces the ledger by a CSV file (UTF-8 or Shift_JIS)",
        "台帳をCSVファイル（UTF-8またはShift_JIS）で置き換える",
    ),
    // exception, attest
    ("Records an exception", "例外を記録"),
    ("Lists exceptions", "例外の一覧"),
    ("Ends an exception; it stays on record", "例外を終わらせる。記録は残る"),
    ("Host id or name, or `group:NAME`", "機器のIDか名前、または `group:グループ名`"),
    ("Control id, such as patch.applied_in_time", "判定項目のID。例: patch.applied_in_time"),
    ("Why it cannot be mended now", "今は是正できない理由"),
    (
        "What protects meanwhile: disable, workaround, isolate or `monitor_and_block`",
        "その間の対策: disable（停止）、workaround（回避策）、isolate（隔離）、`monitor_and_block`（監視と遮断）",
    ),
    ("Who answers for it", "責任者"),
    ("Last day (2027-03-31) or moment", "期限の日（2027-03-31）または日時"),
    ("Id", "ID"),
    ("Why", "理由"),
    (
        "Records a statement; it replaces earlier ones about the criterion",
        "申告を記録。同じ評価基準についての以前の申告を置き換える",
    ),
    ("Lists statements", "申告の一覧"),
    (
        "Withdraws a statement and those it had replaced; they stay on record",
        "申告を、それが置き換えたものとともに取り下げる。記録は残る",
    ),
    ("Criterion, such as 4-3-4-3", "評価基準。例: 4-3-4-3"),
    ("State that the criterion does not hold", "評価基準を満たしていないと申告"),
    ("Who states it", "申告者"),
    ("What is stated", "申告の内容"),
    ("Where the document is", "文書の所在"),
    ("Last day (2027-03-31) by which it must be looked at again", "見直しの期限の日（2027-03-31）"),
    ("Why it holds no more", "成り立たなくなった理由"),
    // snapshot, verify
    ("Freezes the state now", "今の状態を保存"),
    ("Lists snapshots, newest first", "スナップショットの一覧（新しい順）"),
    ("Shows what differs between two", "2つの違いを表示"),
    (
        "Writes one with its evidence to a file that `verify` checks without a server",
        "証跡とともにファイルへ書き出す。`verify` でサーバーなしに検証できる",
    ),
    ("Shows, sets or ends the schedule", "定期取得の予定を表示・設定・終了"),
    ("The first, by id or number", "1つ目（IDまたは番号）"),
    ("The second, by id or number", "2つ目（IDまたは番号）"),
    ("By id or number", "IDまたは番号"),
    ("File to write; must not exist", "書き出すファイル。既存のファイルは不可"),
    (
        "Carry the contents of facts, not only their digests",
        "収集した項目のダイジェストだけでなく内容も含める",
    ),
    ("Leave out the names of hosts and groups", "機器とグループの名前を含めない"),
    ("Cron expression: minute, hour, day of month, month, day of week", "cron式: 分 時 日 月 曜日"),
    (
        "Time zone the expression is read in. Default: that of the policy",
        "式を解釈するタイムゾーン。既定はポリシーのもの",
    ),
    ("End the schedule", "定期取得を終わらせる"),
    ("The pack", "書き出したファイル"),
    (
        "Key id the collector's company states; without it, compare the one printed",
        "コレクターの会社が示す鍵ID。指定しないときは、表示される鍵IDを見比べること",
    ),
    // key, ca
    ("Lists signing keys", "署名鍵の一覧"),
    ("Announces a successor and uses it after some days", "後継を告知し、数日後から使う"),
    ("Lists authorities", "認証局の一覧"),
    (
        "Prints the certificates of the authorities (PEM), for `--ca` of commands far away and for browsers",
        "認証局の証明書（PEM）を表示。離れた場所のコマンドの `--ca` やブラウザー用",
    ),
    (
        "Seconds until the successor is used. Agents that do not report in that time must enrol anew; the default is 30 days",
        "後継を使い始めるまでの秒数。その間に報告しないエージェントは再登録が必要になる。既定は30日",
    ),
    // user
    (
        "Adds a user and prints the path of a one-time link to set a password",
        "ユーザーを追加し、パスワードを設定する一度だけのリンクを表示",
    ),
    ("Lists users", "ユーザーの一覧"),
    ("Sets a password, read from standard input", "標準入力から読んだパスワードを設定"),
    ("Gives a user another role in the organisation", "組織でのユーザーの役割を変更"),
    ("Takes a user out of the organisation", "ユーザーを組織から外す"),
    (
        "Refuses a user's log-in and ends open sessions",
        "ユーザーのログインを禁止し、開いているセッションを終わらせる",
    ),
    ("Allows it again", "ログインを再び許す"),
    (
        "Prints the path of a new one-time link to set a password",
        "パスワードを設定する新しい一度だけのリンクを表示",
    ),
    ("What the user may do", "ユーザーの役割"),
    ("Reads everything, changes nothing", "すべてを読めるが、何も変更できない"),
    (
        "Confirms hosts, makes enrolment tokens, records exceptions and attestations, takes snapshots",
        "機器の確認、登録トークンの作成、例外と申告の記録、スナップショットの取得",
    ),
    ("Users, API tokens, policy", "ユーザー、APIトークン、ポリシーの管理"),
    ("Log-in name", "ログイン名"),
    // query
    (
        "One SELECT, for example 'select name, os_name from hosts'",
        "SELECT文を1つ。例: 'select name, os_name from hosts'",
    ),
];
