import Evaluation
import Foundation
import ModelFiles
import Reporting
import Testing

@Suite struct ReportJSONTests {
  static func schema() throws -> SchemaValidator {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(contentsOf: root.appendingPathComponent("docs/report.schema.json"), encoding: .utf8)
    return SchemaValidator(root: try JSONValue(parsing: text))
  }

  @Test(arguments: Samples.all.indices)
  func stagesAreWhatTheSchemaSays(sample: Int) throws {
    let document = try JSONValue(parsing: Samples.all[sample].jsonText)
    #expect(try Self.schema().errors(document, definition: "stage") == [])
  }

  @Test func runsAreWhatTheSchemaSays() throws {
    let document = try JSONValue(parsing: Samples.report(Samples.all).jsonText)
    #expect(try Self.schema().errors(document, definition: "runReport") == [])
  }

  /// Every property of the schema appears in some document, so the schema promises nothing that is not written.
  @Test func schemaHasNoDeadKeys() throws {
    func keys(_ value: JSONValue) -> Set<String> {
      switch value {
      case .object(let object): object.members.reduce(into: Set(object.keys)) { $0.formUnion(keys($1.value)) }
      case .array(let elements): elements.reduce(into: []) { $0.formUnion(keys($1)) }
      default: []
      }
    }
    let written = keys(Samples.report(Samples.all).json)
    let definitions = try Self.schema().root["$defs"]?.objectValue?.members ?? []
    #expect(definitions.count > 15)
    for (name, definition) in definitions {
      for key in definition["properties"]?.objectValue?.keys ?? [] {
        #expect(written.contains(key), "\(name).\(key)")
      }
    }
  }

  @Test func validatorFindsFaults() throws {
    let validator = try Self.schema()
    func errors(_ edit: (inout JSONObject) -> Void) -> [String] {
      guard case .object(var object) = Samples.stage().json else { return [] }
      edit(&object)
      return validator.errors(.object(object), definition: "stage")
    }
    #expect(errors { $0["name"] = nil } == [": 'name' is missing"])
    #expect(errors { $0["extra"] = .integer(1) } == [": 'extra' is not in the schema"])
    #expect(errors { $0["index"] = .number(1.5) } == [".index: 1.5 is no [\"integer\"]"])
  }

  @Test(arguments: Samples.all.indices)
  func stagesAreReadBack(sample: Int) throws {
    let stage = Samples.all[sample]
    let again = try StageReport(json: JSONValue(parsing: stage.jsonText))
    #expect(again == stage)
    #expect(again.jsonText == stage.jsonText)
  }

  @Test func runsAreReadBack() throws {
    let report = Samples.report(Samples.all)
    #expect(try RunReport(json: JSONValue(parsing: report.jsonText)) == report)
  }

  @Test func keysAreSortedAndTheTextEndsInALineBreak() throws {
    let text = Samples.stage().jsonText
    #expect(text.hasPrefix("{\n  \"artifact\": {\n    \"container\": \"gguf\",\n    \"file\""))
    #expect(text.hasSuffix("}\n"))
  }

  @Test func numbersAreRoundedToTenDigits() throws {
    var stage = Samples.stage()
    stage.tensors[0].relativeSquaredError = 0.1 + 0.2
    stage.tensors[1].relativeSquaredError = .nan
    let tensors = stage.json["tensors"]?.arrayValue ?? []
    #expect(tensors.first?["relativeSquaredError"] == .number(0.3))
    #expect(tensors.last?["relativeSquaredError"] == nil)
    stage.tensors[0].relativeSquaredError = 1.2345678949e-7
    #expect(stage.json["tensors"]?.arrayValue?.first?["relativeSquaredError"] == .number(1.234567895e-7))
  }

  static func edited(_ path: [String], _ value: JSONValue?) -> JSONValue {
    func edit(_ document: JSONValue, _ path: ArraySlice<String>) -> JSONValue {
      guard let key = path.first, case .object(var object) = document else { return document }
      object[key] = path.count == 1 ? value : edit(object[key] ?? .null, path.dropFirst())
      return .object(object)
    }
    return edit(Samples.stage().json, path[...])
  }

  @Test func faultsAreNamed() throws {
    func expect(_ path: [String], _ value: JSONValue?, _ error: ReportError) {
      #expect(throws: error) { try StageReport(json: Self.edited(path, value)) }
    }
    expect(["name"], nil, ReportError(path: "name", "missing"))
    expect(
      ["size", "packedBytes"], .string("9"), ReportError(path: "size.packedBytes", "expected a whole number"))
    expect(["latency", "decode", "runs"], nil, ReportError(path: "latency.decode.runs", "missing"))
    expect(["notes"], .array([.integer(1)]), ReportError(path: "notes[0]", "expected a string"))
    expect(["tensors"], .array([.null]), ReportError(path: "tensors[0]", "expected an object"))
    expect(["evaluation", "kind"], .string("x"), ReportError(path: "evaluation.kind", "unknown kind 'x'"))
    expect(
      ["latency", "isPeakOfStage"], .integer(1),
      ReportError(path: "latency.isPeakOfStage", "expected true or false"))
    expect(["run", "source"], .array([]), ReportError(path: "run.source", "expected an object"))
    expect(["artifact"], .null, ReportError(path: "artifact", "expected an object"))
    expect(
      ["schemaVersion"], .integer(2),
      ReportError(path: "schemaVersion", "version 2, this program reads 1; use a newer one"))
    expect(
      ["schema"], .string("other"), ReportError(path: "schema", "'other', expected 'compress.stage-report'"))
    #expect(throws: ReportError(path: "", "expected an object")) { try StageReport(json: .null) }
    #expect(throws: ReportError(path: "stages[1].size", "missing")) {
      try RunReport(
        json: .object(
          JSONObject([
            ("schema", .string(RunReport.schema)), ("schemaVersion", .integer(1)), ("date", .string("")),
            ("seconds", .integer(0)), ("recipeName", .string("")), ("recipe", .null),
            ("run", Samples.report([]).json["run"] ?? .null), ("notes", .array([])),
            ("stages", .array([Samples.stage().json, Self.edited(["size"], nil)])),
          ])))
    }
  }
}
