import Evaluation
public import ModelFiles

extension RunReport {
  /// The kind of document that ``json`` is.
  public static let schema = "compress.run-report"
  /// The version of its layout.
  public static let schemaVersion = 1

  /// The document: the run, and the whole report of each stage, so that one file is enough to compare runs.
  public var json: JSONValue {
    .fields([
      ("schema", .string(RunReport.schema)), ("schemaVersion", .integer(RunReport.schemaVersion)),
      ("date", .string(date)), ("seconds", .rounded(seconds)), ("recipeName", .string(recipeName)),
      ("recipe", recipe), ("run", run.json), ("stages", .array(stages.map(\.json))),
      ("comparisons", .array(comparisons.map(\.json))), ("failure", failure?.json ?? .null),
      ("notes", .strings(notes)),
    ])
  }

  /// The text of the run's `report.json`: sorted keys, indented, ending in a line break.
  public var jsonText: String { json.text(sortedKeys: true, indent: 2) + "\n" }

  /// Reads a document that ``json`` made.
  ///
  /// - Throws: ``ReportError`` that names the member which is missing or of another kind.
  public init(json: JSONValue) throws {
    let fields = try ReportFields(json)
    try fields.checkSchema(RunReport.schema, version: RunReport.schemaVersion)
    self.init(
      date: try fields.string("date"), seconds: try fields.double("seconds"),
      recipeName: try fields.string("recipeName"), recipe: try fields.value("recipe"),
      run: try RunContext(fields.fields("run")),
      stages: try fields.array("stages") { try StageReport(ReportFields($0, path: $1)) },
      comparisons: try fields.added("comparisons") {
        try fields.array($0) { try StageComparison(ReportFields($0, path: $1)) }
      } ?? [],
      failure: try fields.added("failure") { try StageFailure(fields.fields($0)) },
      notes: try fields.strings("notes"))
  }
}

extension RunContext {
  var json: JSONValue {
    .fields([
      ("model", .string(model)), ("source", .map(source)), ("toolVersion", .string(toolVersion)),
      ("command", .strings(command)), ("threads", .integer(threads)), ("seed", .integer(seed)),
      ("machine", machine.json),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      model: try fields.string("model"), source: try fields.stringMap("source"),
      toolVersion: try fields.string("toolVersion"), command: try fields.strings("command"),
      threads: try fields.int("threads"), seed: try fields.int("seed"),
      machine: try Machine(fields.fields("machine")))
  }
}
