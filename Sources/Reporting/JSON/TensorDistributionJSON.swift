import ModelFiles

extension TensorDistribution {
  /// The most classes that a document may have.
  private static let limit = 4096

  var json: JSONValue {
    .fields([
      ("name", .string(name)), ("tensor", .integer(tensor)), ("weights", .integer(weights)),
      ("bound", .rounded(bound)), ("original", .array(original.map { .integer($0) })),
      ("stored", .array(stored.map { .integer($0) })), ("codes", codes?.json ?? .null),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      name: try fields.string("name"), tensor: try fields.int("tensor"), weights: try fields.int("weights"),
      bound: try fields.double("bound"), original: try fields.ints("original"),
      stored: try fields.ints("stored"), codes: try fields.optional("codes") { try Codes(fields.fields($0)) })
    guard bound > 0, original.count == stored.count, (1...TensorDistribution.limit).contains(original.count),
      (original + stored).allSatisfy({ $0 >= 0 })
    else { throw ReportError(path: fields.place("original"), "no counts of a histogram") }
  }
}

extension TensorDistribution.Codes {
  var json: JSONValue {
    .fields([
      ("lowest", .integer(lowest)), ("step", .integer(step)),
      ("counts", .array(counts.map { .integer($0) })),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      lowest: try fields.int("lowest"), step: try fields.int("step"), counts: try fields.ints("counts"))
    guard (1...1_000_000).contains(step), abs(lowest) <= 1_000_000, (1...4096).contains(counts.count),
      counts.allSatisfy({ $0 >= 0 })
    else { throw ReportError(path: fields.place("counts"), "no counts of a histogram") }
  }
}
