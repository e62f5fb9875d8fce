import Evaluation
import Passes
public import ModelFiles

extension StageReport {
  /// The kind of document that ``json`` is.
  public static let schema = "compress.stage-report"
  /// The version of its layout; it grows whenever a reader of the old one would fail or misunderstand.
  public static let schemaVersion = 1

  /// The document: what `docs/report.schema.json` describes. Every key is always there; null stands for "not measured".
  public var json: JSONValue {
    let made: [(String, JSONValue)] = [
      ("schema", .string(StageReport.schema)), ("schemaVersion", .integer(StageReport.schemaVersion)),
      ("index", .integer(index)), ("name", .string(name)), ("pass", .string(pass)), ("recipe", recipe),
      ("artifact", artifact.json), ("size", size.json), ("tensors", .array(tensors.map(\.json))),
    ]
    let measured: [(String, JSONValue)] = [
      ("evaluation", evaluation.json), ("budget", budget?.json ?? .null),
      ("calibration", calibration?.json ?? .null), ("training", training?.json ?? .null),
      ("tokens", tokens?.json ?? .null), ("distributions", .array(distributions.map(\.json))),
      ("latency", latency?.json ?? .null),
      ("sparsity", sparsity?.json ?? .null), ("frontier", frontier?.json ?? .null),
      ("notes", .strings(notes)), ("warnings", .strings(warnings)), ("run", run.json),
    ]
    return .fields(made + measured)
  }

  /// The text of `report.json`: sorted keys, indented, ending in a line break.
  public var jsonText: String { json.text(sortedKeys: true, indent: 2) + "\n" }

  /// Reads a document that ``json`` made.
  ///
  /// - Throws: ``ReportError`` that names the member which is missing or of another kind.
  public init(json: JSONValue) throws { try self.init(ReportFields(json)) }

  init(_ fields: ReportFields) throws {
    try fields.checkSchema(StageReport.schema, version: StageReport.schemaVersion)
    self.init(
      index: try fields.int("index"), name: try fields.string("name"), pass: try fields.string("pass"),
      recipe: try fields.value("recipe"), artifact: try ArtifactReport(fields.fields("artifact")),
      size: try SizeReport(fields.fields("size")),
      tensors: try fields.array("tensors") { try TensorReport(ReportFields($0, path: $1)) },
      evaluation: try EvaluationReport(fields.fields("evaluation")),
      budget: try fields.added("budget") { try BudgetVerdict(fields.fields($0)) },
      calibration: try fields.added("calibration") { try CalibrationSummary(fields.fields($0)) },
      training: try fields.added("training") { try TrainingReport(fields.fields($0)) },
      tokens: try fields.added("tokens") { try TokenReport(fields.fields($0)) },
      latency: try fields.optional("latency") { try LatencyMetrics(fields.fields($0)) },
      notes: try fields.strings("notes"), warnings: try fields.strings("warnings"),
      run: try RunContext(fields.fields("run")))
    distributions =
      try fields.added("distributions") { key in
        try fields.array(key) { try TensorDistribution(ReportFields($0, path: $1)) }
      } ?? []
    sparsity = try fields.added("sparsity") { try SparsityReport(fields.fields($0)) }
    frontier = try fields.added("frontier") { try FrontierVerdict(fields.fields($0)) }
  }
}

extension SparsityReport {
  var json: JSONValue {
    .fields([
      ("matrices", .integer(matrices)), ("weights", .integer(weights)), ("kept", .integer(kept)),
      ("packedBytes", .integer(packedBytes)), ("maskBytes", .rounded(maskBytes)),
      ("valueBytes", .rounded(valueBytes)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      matrices: try fields.int("matrices"), weights: try fields.int("weights"), kept: try fields.int("kept"),
      packedBytes: try fields.int("packedBytes"), maskBytes: try fields.double("maskBytes"),
      valueBytes: try fields.double("valueBytes"))
  }
}

extension ArtifactReport {
  var json: JSONValue {
    .fields([
      ("file", .string(file)), ("container", .string(container)), ("sha256", .string(sha256)),
      ("merkleRoot", .string(merkleRoot)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      file: try fields.string("file"), container: try fields.string("container"),
      sha256: try fields.string("sha256"), merkleRoot: try fields.string("merkleRoot"))
  }
}

extension SizeReport {
  var json: JSONValue {
    .fields([
      ("packedBytes", .integer(packedBytes)), ("decodedBytes", .integer(decodedBytes)),
      ("tensorBytes", .integer(tensorBytes)), ("parameters", .integer(parameters)),
      ("baselinePackedBytes", .optional(baselinePackedBytes)), ("sourceBytes", .integer(sourceBytes)),
      ("packedBitsPerWeight", .rounded(packedBitsPerWeight)),
      ("decodedBitsPerWeight", .rounded(decodedBitsPerWeight)),
      ("ratioToBaseline", .rounded(ratioToBaseline)), ("ratioToSource", .rounded(ratioToSource)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      packedBytes: try fields.int("packedBytes"), decodedBytes: try fields.int("decodedBytes"),
      tensorBytes: try fields.int("tensorBytes"), parameters: try fields.int("parameters"),
      baselinePackedBytes: try fields.optional("baselinePackedBytes", fields.int),
      sourceBytes: try fields.int("sourceBytes"))
  }
}

extension TensorReport {
  var json: JSONValue {
    .fields([
      ("name", .string(name)), ("role", .string(role)), ("shape", .array(shape.map { .integer($0) })),
      ("format", .string(format)), ("bytes", .integer(bytes)),
      ("relativeSquaredError", .rounded(relativeSquaredError)), ("outcome", outcome?.json ?? .null),
      ("note", .optional(note)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      name: try fields.string("name"), role: try fields.string("role"), shape: try fields.ints("shape"),
      format: try fields.string("format"), bytes: try fields.int("bytes"),
      relativeSquaredError: try fields.optional("relativeSquaredError", fields.double),
      outcome: try fields.added("outcome") { try TensorOutcome(fields.fields($0)) },
      note: try fields.optional("note", fields.string))
  }
}

extension EvaluationReport {
  /// The kind, and exactly one of the members that belong to it; the others are null.
  public var json: JSONValue {
    func document(_ kind: String, _ metrics: JSONValue, _ method: JSONValue, _ reason: JSONValue) -> JSONValue
    {
      .fields([("kind", .string(kind)), ("metrics", metrics), ("method", method), ("reason", reason)])
    }
    return switch self {
    case .language(let metrics, let method): document("language", metrics.json, method.json, .null)
    case .encoder(let metrics, let method): document("encoder", metrics.json, method.json, .null)
    case .none(let reason): document("none", .null, .null, .string(reason))
    }
  }

  init(_ fields: ReportFields) throws {
    switch try fields.string("kind") {
    case "language":
      self = .language(
        try LanguageMetrics(fields.fields("metrics")), method: try LanguageMethod(fields.fields("method")))
    case "encoder":
      self = .encoder(
        try EncoderMetrics(fields.fields("metrics")), method: try EncoderMethod(fields.fields("method")))
    case "none": self = .none(reason: try fields.string("reason"))
    case let kind: throw ReportError(path: fields.place("kind"), "unknown kind '\(kind)'")
    }
  }
}

extension LanguageMethod {
  var json: JSONValue {
    .fields([
      ("text", .string(text)), ("textHash", .string(textHash)), ("textTokens", .integer(textTokens)),
      ("context", .integer(context)), ("fromStart", .bool(fromStart)),
      ("addsBeginningOfText", .bool(addsBeginningOfText)), ("isDocuments", .bool(isDocuments)),
      ("isSpread", .bool(isSpread)),
      ("activations", .string(activations)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      text: try fields.string("text"), textHash: try fields.string("textHash"),
      textTokens: try fields.int("textTokens"), context: try fields.int("context"),
      fromStart: try fields.bool("fromStart"), addsBeginningOfText: try fields.bool("addsBeginningOfText"),
      isDocuments: try fields.bool("isDocuments"),
      isSpread: try fields.added("isSpread", fields.bool) ?? false)
    activations = try fields.string("activations", default: "int8")
  }
}

extension EncoderMethod {
  var json: JSONValue {
    .fields([
      ("text", .string(text)), ("textHash", .string(textHash)), ("context", .integer(context)),
      ("resamples", .integer(resamples)), ("seed", .integer(seed)),
      ("activations", .string(activations)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      text: try fields.string("text"), textHash: try fields.string("textHash"),
      context: try fields.int("context"), resamples: try fields.int("resamples"), seed: try fields.int("seed")
    )
    activations = try fields.string("activations", default: "int8")
  }
}
