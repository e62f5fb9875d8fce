import Evaluation
import ModelFiles

extension LatencyMetrics.WholeRows {
  /// The member `wholeRows` of a latency.
  var json: JSONValue {
    .fields([
      ("prefill", prefill.json), ("decode", decode?.json ?? .null),
      ("prefillSpeedup", prefillSpeedup.json), ("decodeSpeedup", decodeSpeedup?.json ?? .null),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      prefill: try LatencyMetrics.Speed(fields.fields("prefill")),
      decode: try fields.optional("decode") { try LatencyMetrics.Speed(fields.fields($0)) },
      prefillSpeedup: try LatencyComparison.Speedup(fields.fields("prefillSpeedup")),
      decodeSpeedup: try fields.optional("decodeSpeedup") {
        try LatencyComparison.Speedup(fields.fields($0))
      })
  }
}

extension LatencyComparison.Speedup {
  /// A ratio with its interval, as comparisons and reports have it.
  var json: JSONValue {
    .fields([
      ("ratio", .rounded(ratio)), ("low", .rounded(interval?.low)), ("high", .rounded(interval?.high)),
      ("rounds", .integer(rounds)), ("verdict", .string(verdict.rawValue)),
    ])
  }

  init(_ fields: ReportFields) throws {
    let (low, high) = (
      try fields.optional("low", fields.double), try fields.optional("high", fields.double)
    )
    self.init(
      ratio: try fields.double("ratio"),
      interval: low.flatMap { low in high.map { .init(low, $0) } }, rounds: try fields.int("rounds"))
  }
}
