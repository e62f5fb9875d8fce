import Evaluation
import ModelFiles

extension FrontierVerdict {
  var json: JSONValue {
    .fields([
      ("confidence", .rounded(FrontierVerdict.confidence)), ("packedBytes", .integer(packedBytes)),
      ("secondsPerToken", .rounded(secondsPerToken)), ("divergence", divergence.json),
      ("loses", .bool(loses)), ("comparisons", .array(comparisons.map(\.json))), ("notes", .strings(notes)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      packedBytes: try fields.int("packedBytes"),
      secondsPerToken: try fields.optional("secondsPerToken", fields.double),
      divergence: try Estimate(fields.fields("divergence")),
      comparisons: try fields.array("comparisons") { try Comparison(ReportFields($0, path: $1)) },
      notes: try fields.strings("notes"))
  }
}

extension FrontierVerdict.Comparison {
  var json: JSONValue {
    .fields([
      ("basis", .string(basis.rawValue)), ("outcome", .string(outcome.rawValue)),
      ("alternative", .string(alternative)), ("packedBytes", .integer(packedBytes)),
      ("secondsPerToken", .rounded(secondsPerToken)), ("divergence", divergence.json),
      ("difference", difference.json), ("lower", .rounded(interval?.lowerBound)),
      ("upper", .rounded(interval?.upperBound)),
    ])
  }

  init(_ fields: ReportFields) throws {
    let word = try fields.string("basis")
    guard let basis = FrontierVerdict.Basis(rawValue: word) else {
      throw ReportError(path: fields.place("basis"), "'\(word)' is no basis of a comparison")
    }
    let lower = try fields.optional("lower", fields.double)
    let upper = try fields.optional("upper", fields.double)
    var interval: ClosedRange<Double>?
    if let lower, let upper, lower <= upper { interval = lower...upper }
    self.init(
      basis: basis, alternative: try fields.string("alternative"),
      packedBytes: try fields.int("packedBytes"),
      secondsPerToken: try fields.optional("secondsPerToken", fields.double),
      divergence: try Estimate(fields.fields("divergence")),
      difference: try Estimate(fields.fields("difference")), interval: interval)
  }
}
