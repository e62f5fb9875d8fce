import ModelFiles

extension BudgetVerdict {
  var json: JSONValue {
    .fields([
      ("confidence", .rounded(confidence)), ("blocks", .integer(blocks)), ("holds", .bool(holds)),
      ("checks", .array(checks.map(\.json))),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      confidence: try fields.double("confidence"), blocks: try fields.int("blocks"),
      checks: try fields.array("checks") { try Check(ReportFields($0, path: $1)) })
  }
}

extension BudgetVerdict.Check {
  var json: JSONValue {
    .fields([
      ("name", .string(name)), ("limit", .rounded(limit)), ("measured", .rounded(measured)),
      ("bound", .rounded(bound)), ("holds", .bool(holds)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      name: try fields.string("name"), limit: try fields.double("limit"),
      measured: try fields.double("measured"), bound: try fields.optional("bound", fields.double),
      holds: try fields.bool("holds"))
  }
}
