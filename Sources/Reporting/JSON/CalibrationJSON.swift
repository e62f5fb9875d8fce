import ModelFiles
import Passes

extension CalibrationSummary {
  var json: JSONValue {
    .fields([
      ("name", .string(name)), ("sha256", .string(sha256)), ("textTokens", .integer(textTokens)),
      ("context", .integer(context)), ("sequences", .integer(sequences)), ("tokens", .integer(tokens)),
      ("heldOutSequences", .integer(heldOutSequences)), ("heldOutTokens", .integer(heldOutTokens)),
      ("vocabulary", .integer(vocabulary)), ("distinctTokens", .integer(distinctTokens)),
      ("evaluationCoverage", .rounded(evaluationCoverage)), ("overlap", overlap?.json ?? .null),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      name: try fields.string("name"), sha256: try fields.string("sha256"),
      textTokens: try fields.int("textTokens"), context: try fields.int("context"),
      sequences: try fields.int("sequences"), tokens: try fields.int("tokens"),
      heldOutSequences: try fields.int("heldOutSequences"), heldOutTokens: try fields.int("heldOutTokens"),
      vocabulary: try fields.int("vocabulary"), distinctTokens: try fields.int("distinctTokens"),
      evaluationCoverage: try fields.optional("evaluationCoverage", fields.double),
      overlap: try fields.optional("overlap") { try Overlap(fields.fields($0)) })
  }
}

extension CalibrationSummary.Overlap {
  var json: JSONValue {
    .fields([
      ("words", .integer(words)), ("runs", .integer(runs)), ("shared", .integer(shared)),
      ("share", .rounded(share)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      words: try fields.int("words"), runs: try fields.int("runs"), shared: try fields.int("shared"))
  }
}

extension TensorOutcome {
  var json: JSONValue {
    .fields([
      ("method", .string(method)), ("heldOutError", .rounded(heldOutError)),
      ("plainError", .rounded(plainError)), ("blend", .rounded(blend)), ("note", .optional(note)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      method: try fields.string("method"), heldOutError: try fields.optional("heldOutError", fields.double),
      plainError: try fields.optional("plainError", fields.double),
      blend: try fields.optional("blend", fields.double), note: try fields.optional("note", fields.string))
  }
}
