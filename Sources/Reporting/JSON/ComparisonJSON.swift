import Evaluation
import ModelFiles

extension StageComparison {
  var json: JSONValue {
    .fields([
      ("first", .integer(first)), ("second", .integer(second)), ("loss", tokens.loss.json()),
      ("divergence", tokens.divergence?.json() ?? .null),
      ("accuracy", tokens.accuracy.json(lessIsBetter: false)), ("flips", tokens.flips.json),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      first: try fields.int("first"), second: try fields.int("second"),
      tokens: TokenComparison(
        loss: try PairedDifference(fields.fields("loss")),
        divergence: try fields.optional("divergence") { try PairedDifference(fields.fields($0)) },
        accuracy: try PairedDifference(fields.fields("accuracy")), flips: try Flips(fields.fields("flips"))))
  }
}

extension PairedDifference {
  /// The difference, and what it says; the verdict follows from the rest.
  func json(lessIsBetter: Bool = true) -> JSONValue {
    .fields([
      ("estimate", estimate.json), ("blocks", .integer(blocks)), ("interval", interval?.json ?? .null),
      ("bootstrap", bootstrap?.json ?? .null), ("probability", .rounded(probability)),
      ("adjusted", .rounded(adjusted)), ("detectable", .rounded(detectable)),
      ("verdict", .string(verdict(lessIsBetter: lessIsBetter).rawValue)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      estimate: try fields.estimate("estimate"), blocks: try fields.int("blocks"),
      interval: try fields.optional("interval") { try Interval(fields.fields($0)) },
      bootstrap: try fields.optional("bootstrap") { try Interval(fields.fields($0)) },
      probability: try fields.optional("probability", fields.double),
      adjusted: try fields.optional("adjusted", fields.double),
      detectable: try fields.optional("detectable", fields.double))
  }
}

extension PairedDifference.Interval {
  var json: JSONValue { .fields([("low", .rounded(low)), ("high", .rounded(high))]) }

  init(_ fields: ReportFields) throws { self.init(try fields.double("low"), try fields.double("high")) }
}

extension Flips {
  var json: JSONValue {
    .fields([
      ("bothRight", .integer(bothRight)), ("lost", .integer(lost)), ("gained", .integer(gained)),
      ("bothWrong", .integer(bothWrong)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      bothRight: try fields.int("bothRight"), lost: try fields.int("lost"), gained: try fields.int("gained"),
      bothWrong: try fields.int("bothWrong"))
  }
}

extension StageFailure {
  var json: JSONValue {
    .fields([("index", .integer(index)), ("name", .string(name)), ("message", .string(message))])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      index: try fields.int("index"), name: try fields.string("name"), message: try fields.string("message"))
  }
}
