import Evaluation
import ModelFiles

extension TokenReport {
  var json: JSONValue {
    .fields([
      ("file", .string(file)), ("accuracy", accuracy.json), ("histogram", histogram?.json ?? .null),
      ("passages", .array(passages.map(\.json))),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      file: try fields.string("file"), accuracy: try fields.estimate("accuracy"),
      histogram: try fields.optional("histogram") { try Histogram(fields.fields($0)) },
      passages: try fields.array("passages") { try Passage(ReportFields($0, path: $1)) })
  }
}

extension TokenReport.Histogram {
  var json: JSONValue {
    .fields([
      ("low", .integer(low)), ("perDecade", .integer(perDecade)), ("below", .integer(below)),
      ("counts", .array(counts.map { .integer($0) })),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      low: try fields.int("low"), perDecade: try fields.int("perDecade"), below: try fields.int("below"),
      counts: try fields.ints("counts"))
    guard (-300...300).contains(low), (1...100).contains(perDecade), counts.count <= 1000 else {
      throw ReportError(path: fields.place("low"), "no bounds of a histogram")
    }
  }
}

extension TokenReport.Passage {
  var json: JSONValue {
    .fields([
      ("chunk", .integer(chunk)), ("position", .integer(position)), ("mean", .rounded(mean)),
      ("tokens", .array(tokens.map(\.json))),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      chunk: try fields.int("chunk"), position: try fields.int("position"), mean: try fields.double("mean"),
      tokens: try fields.array("tokens") { try TokenReport.Token(ReportFields($0, path: $1)) })
  }
}

extension TokenReport.Token {
  var json: JSONValue {
    .fields([("text", .string(text)), ("divergence", .rounded(divergence)), ("loss", .rounded(loss))])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      text: try fields.string("text"), divergence: try fields.double("divergence"),
      loss: try fields.double("loss"))
  }
}
