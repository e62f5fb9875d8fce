public import Evaluation
public import ModelFiles

extension Estimate {
  var json: JSONValue {
    .fields([("value", .rounded(value)), ("standardError", .rounded(standardError))])
  }

  init(_ fields: ReportFields) throws {
    self.init(try fields.double("value"), standardError: try fields.optional("standardError", fields.double))
  }
}

extension ReportFields {
  func estimate(_ key: String) throws -> Estimate { try Estimate(fields(key)) }
}

extension LanguageMetrics {
  var json: JSONValue {
    .fields([
      ("tokens", .integer(tokens)), ("context", .integer(context)), ("loss", loss.json),
      ("perplexity", perplexity.json), ("divergence", divergence?.json ?? .null),
      ("chunks", .array(chunks.map(\.json))),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      tokens: try fields.int("tokens"), context: try fields.int("context"), loss: try fields.estimate("loss"),
      perplexity: try fields.estimate("perplexity"),
      divergence: try fields.optional("divergence") { try Divergence(fields.fields($0)) },
      chunks: try fields.array("chunks") { try ChunkSums(ReportFields($0, path: $1)) })
  }
}

extension Divergence {
  var json: JSONValue {
    .fields([
      ("baselinePerplexity", baselinePerplexity.json), ("mean", mean.json), ("median", .rounded(median)),
      ("percentile99", .rounded(percentile99)), ("percentile999", .rounded(percentile999)),
      ("maximum", .rounded(maximum)), ("sameTop", sameTop.json), ("deltaProbability", deltaProbability.json),
      ("logRatio", logRatio.json), ("perplexityChange", perplexityChange.json),
      ("approximation", approximation?.json ?? .null),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      baselinePerplexity: try fields.estimate("baselinePerplexity"), mean: try fields.estimate("mean"),
      median: try fields.double("median"), percentile99: try fields.double("percentile99"),
      percentile999: try fields.double("percentile999"), maximum: try fields.double("maximum"),
      sameTop: try fields.estimate("sameTop"), deltaProbability: try fields.estimate("deltaProbability"),
      logRatio: try fields.estimate("logRatio"),
      approximation: try fields.added("approximation") { try Approximation(fields.fields($0)) })
  }
}

extension Divergence.Approximation {
  var json: JSONValue {
    .fields([("tailMass", .rounded(tailMass)), ("lowerBound", .rounded(lowerBound))])
  }

  init(_ fields: ReportFields) throws {
    self.init(tailMass: try fields.double("tailMass"), lowerBound: try fields.double("lowerBound"))
  }
}

extension ChunkSums {
  var json: JSONValue {
    .fields([
      ("tokens", .integer(tokens)), ("loss", .rounded(loss)), ("baselineLoss", .rounded(baselineLoss)),
      ("divergence", .rounded(divergence)), ("sameTop", .optional(sameTop)),
      ("squaredDelta", .rounded(squaredDelta)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      tokens: try fields.int("tokens"), loss: try fields.double("loss"),
      baselineLoss: try fields.optional("baselineLoss", fields.double),
      divergence: try fields.optional("divergence", fields.double),
      sameTop: try fields.optional("sameTop", fields.int),
      squaredDelta: try fields.optional("squaredDelta", fields.double))
  }
}

extension EncoderMetrics {
  var json: JSONValue {
    .fields([
      ("sentences", .integer(sentences)), ("truncated", .integer(truncated)),
      ("similarity", similarity?.json ?? .null), ("correlation", correlation?.json ?? .null),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      sentences: try fields.int("sentences"), truncated: try fields.int("truncated"),
      similarity: try fields.optional("similarity") { try Similarity(fields.fields($0)) },
      correlation: try fields.optional("correlation") { try Correlation(fields.fields($0)) })
  }
}

extension EncoderMetrics.Similarity {
  var json: JSONValue {
    .fields([
      ("mean", mean.json), ("minimum", .rounded(minimum)), ("percentile1", .rounded(percentile1)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      mean: try fields.estimate("mean"), minimum: try fields.double("minimum"),
      percentile1: try fields.double("percentile1"))
  }
}

extension EncoderMetrics.Correlation {
  var json: JSONValue {
    .fields([
      ("pairs", .integer(pairs)), ("spearman", spearman.json), ("pearson", pearson.json),
      ("baselineSpearman", baselineSpearman?.json ?? .null),
      ("spearmanChange", spearmanChange?.json ?? .null),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      pairs: try fields.int("pairs"), spearman: try fields.estimate("spearman"),
      pearson: try fields.estimate("pearson"),
      baselineSpearman: try fields.optional("baselineSpearman", fields.estimate),
      spearmanChange: try fields.optional("spearmanChange", fields.estimate))
  }
}

extension LatencyMetrics {
  /// The metrics as JSON: the member `latency` of a report, and what `compress bench --json` prints.
  public var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("prefill", prefill.json), ("decode", decode?.json ?? .null),
      ("timeToFirstToken", .rounded(timeToFirstToken)), ("coldFirstToken", .rounded(coldFirstToken)),
      ("energyPerToken", .rounded(energyPerToken)), ("readBandwidth", .rounded(readBandwidth)),
      ("readFraction", .rounded(readFraction)), ("bytesPerToken", .optional(bytesPerToken)),
      ("peakMemory", .optional(peakMemory)), ("isPeakOfStage", .bool(isPeakOfStage)),
      ("threads", .integer(threads)),
      (
        "sweep",
        .array(
          sweep.map { speed in
            .fields([
              ("threads", .integer(speed.threads)), ("prefill", speed.prefill.json),
              ("decode", speed.decode?.json ?? .null), ("readBandwidth", .rounded(speed.readBandwidth)),
              ("readFraction", .rounded(readFraction(of: speed))),
            ])
          })
      ),
    ]
    if let wholeRows { members.append(("wholeRows", wholeRows.json)) }
    return .fields(members)
  }

  /// Reads what ``json`` wrote.
  ///
  /// - Throws: ``ReportError`` naming the member that is missing or of another kind.
  public init(json: JSONValue) throws { try self.init(ReportFields(json)) }

  init(_ fields: ReportFields) throws {
    self.init(
      prefill: try Speed(fields.fields("prefill")),
      decode: try fields.optional("decode") { try Speed(fields.fields($0)) },
      timeToFirstToken: try fields.optional("timeToFirstToken", fields.double),
      bytesPerToken: try fields.optional("bytesPerToken", fields.int),
      peakMemory: try fields.optional("peakMemory", fields.int),
      isPeakOfStage: try fields.bool("isPeakOfStage"), threads: try fields.int("threads"))
    coldFirstToken = try fields.added("coldFirstToken", fields.double)
    energyPerToken = try fields.added("energyPerToken", fields.double)
    readBandwidth = try fields.added("readBandwidth", fields.double)
    sweep = try fields.added("sweep") { try fields.array($0, LatencyMetrics.threadSpeed) } ?? []
    wholeRows = try fields.added("wholeRows") { try WholeRows(fields.fields($0)) }
  }

  private static func threadSpeed(_ value: JSONValue, _ path: String) throws -> ThreadSpeed {
    let fields = try ReportFields(value, path: path)
    return ThreadSpeed(
      threads: try fields.int("threads"), prefill: try Speed(fields.fields("prefill")),
      decode: try fields.optional("decode") { try Speed(fields.fields($0)) },
      readBandwidth: try fields.optional("readBandwidth", fields.double))
  }
}

extension LatencyMetrics.Speed {
  var json: JSONValue {
    .fields([
      ("tokens", .integer(tokens)), ("runs", .integer(runs)), ("secondsPerToken", .rounded(median)),
      ("deviation", .rounded(deviation)), ("percentile95", .rounded(percentile95)),
      ("tokensPerSecond", .rounded(rate)), ("tokensPerSecond95", .rounded(slowRate)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      tokens: try fields.int("tokens"), runs: try fields.int("runs"),
      median: try fields.double("secondsPerToken"), deviation: try fields.double("deviation"),
      percentile95: try fields.double("percentile95"))
  }
}

extension Machine {
  var json: JSONValue {
    .fields([
      ("processor", .string(processor)), ("processors", .integer(processors)),
      ("instructionSet", .string(instructionSet)), ("memory", .optional(memory)),
      ("governor", .optional(governor)), ("system", .string(system)),
      ("features", .strings(features)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      processor: try fields.string("processor"), processors: try fields.int("processors"),
      instructionSet: try fields.string("instructionSet"), memory: try fields.optional("memory", fields.int),
      governor: try fields.optional("governor", fields.string), system: try fields.string("system"))
    features = try fields.added("features", fields.strings) ?? []
  }
}
