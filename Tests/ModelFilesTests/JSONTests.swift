import ModelFiles
import TestSupport
import Testing

@Suite struct JSONTests {
  @Test(arguments: [
    ("null", JSONValue.null), (" true ", .bool(true)), ("false\n", .bool(false)), ("0", .integer(0)),
    ("-0", .integer(0)), ("-12", .integer(-12)), ("9223372036854775807", .integer(.max)),
    ("-9223372036854775808", .integer(.min)), ("9223372036854775808", .number(9_223_372_036_854_775_808)),
    ("1000000000000000019884624838656", .number(1e30)), ("1.5", .number(1.5)), ("-1e-5", .number(-1e-5)),
    ("1E+2", .number(100)), ("0.1", .number(0.1)), ("5e-324", .number(.leastNonzeroMagnitude)),
    (#""""#, .string("")), (#""a\"\\\/\b\f\n\r\t""#, .string("a\"\\/\u{8}\u{C}\n\r\t")),
    (#""\u00e9\u20AC\ud83d\uDE00""#, .string("é€😀")), (#""é€😀""#, .string("é€😀")),
    (#""\u0000""#, .string("\0")),
    ("[]", .array([])), ("[ ]", .array([])),
    ("[1, [2],{}]", .array([.integer(1), .array([.integer(2)]), .object(.init())])),
    (#"{"a" : 1 , "b":[]}"#, .object(JSONObject([("a", .integer(1)), ("b", .array([]))]))),
    (#"{"":null}"#, .object(JSONObject([("", .null)]))),
  ])
  func parses(text: String, value: JSONValue) throws {
    #expect(try JSONValue(parsing: text) == value)
    #expect(try JSONValue(parsing: value.text()) == value)
    #expect(try JSONValue(parsing: value.text(sortedKeys: false, indent: 2)) == value)
  }

  @Test(arguments: [
    "", " ", "nul", "nulll", "True", "tru", "01", "-01", "-", "+1", ".5", "1.", "1e", "1e+", "0x10", "1 2",
    "1e400",
    "NaN", "Infinity", "-Infinity", "\"", "\"a", #""\""#, #""\x""#, #""\u12""#, #""\u12G4""#, #""\ud800""#,
    #""\ud800\n""#, #""\ud800\u0041""#, #""\udc00""#, "\"\n\"", "\"\u{1}\"", "[", "[1", "[1,", "[1,]", "[,1]",
    "[1 2]",
    "{", "{}}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{a:1}"#, #"{"a":1 "b":2}"#, #"{1:2}"#, "'a'",
    "\u{FEFF}1",
    "// a\n1", #"{"a":1,"a":1}"#, #"{"a":1,"\u0061":1}"#,
  ])
  func refuses(text: String) {
    #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
  }

  @Test(
    arguments: [
      [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
      [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
      [0x22, 0x5C, 0x6E, 0xC3, 0x22], [0x22, 0xC3],
    ] as [[UInt8]])
  func refusesWhatIsNoUTF8(bytes: [UInt8]) {
    #expect(throws: JSONError.self) { try bytes.withUnsafeBytes { try JSONValue(parsing: $0) } }
  }

  @Test func saysWhere() {
    #expect(throws: JSONError(message: "the key \"a\" is repeated", offset: 7)) {
      try JSONValue(parsing: #"{"a":1,"a":2}"#)
    }
    #expect(throws: JSONError(message: "expected ':'", offset: 4)) { try JSONValue(parsing: #"{"a"}"#) }
    #expect(throws: JSONError(message: "the text ends early", offset: 1)) { try JSONValue(parsing: "[") }
  }

  @Test func depthIsLimited() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(throws: Never.self) { try JSONValue(parsing: nested(128)) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: nested(129)) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: "[", count: 10_000_000)) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: "{\"a\":", count: 1_000_000)) }
  }

  @Test func readsPythonsNumbersWhenAsked() throws {
    let value = try JSONValue(parsing: "[NaN,Infinity,-Infinity,-1]", allowsNonFinite: true)
    let numbers = try #require(value.arrayValue?.map(\.doubleValue))
    #expect(
      numbers[0]?.isNaN == true && numbers[1] == .infinity && numbers[2] == -.infinity && numbers[3] == -1)
    #expect(value.text() == "[null,null,null,-1]")
  }

  @Test func keysThatOnlyLookAlikeAreDifferent() throws {
    // Vocabularies hold both forms; Swift's strings compare equal.
    let composed = "\u{E9}"
    let decomposed = "e\u{301}"
    #expect(composed == decomposed)
    let object = try #require(JSONValue(parsing: "{\"\(composed)\":1,\"\(decomposed)\":2}").objectValue)
    #expect(object[composed] == .integer(1) && object[decomposed] == .integer(2))
    let many = (0..<20).map { "\"\($0)\":0" }.joined(separator: ",")
    let large = try #require(
      JSONValue(parsing: "{\(many),\"\(composed)\":1,\"\(decomposed)\":2}").objectValue)
    #expect(large[composed] == .integer(1) && large[decomposed] == .integer(2) && large.members.count == 22)
    #expect(throws: JSONError.self) { try JSONValue(parsing: "{\(many),\"7\":1}") }
  }

  @Test(arguments: [3, 8, 9, 10, 100])
  func objectsKeepTheirOrderThroughChanges(count: Int) {
    var object = JSONObject()
    for number in 0..<count { object["k\(number)"] = .integer(number) }
    #expect(object.keys == (0..<count).map { "k\($0)" })
    object["k1"] = .null
    #expect(object["k1"] == .null && object.members.count == count)
    object["k0"] = nil
    object["missing"] = nil
    #expect(object.keys == (1..<count).map { "k\($0)" })
    for number in 2..<count { #expect(object["k\(number)"] == .integer(number)) }
    object["k0"] = .bool(true)
    #expect(object.keys.last == "k0")
    #expect(object == JSONObject(object.members.reversed().map { ($0.key, $0.value) }))
  }

  @Test func writesSortedKeysAndIndents() throws {
    let value = try JSONValue(parsing: "{\"b\":[1,2.5,[]],\"a\":\"\\u0001\\b\\fé\\u007f/\",\"B\":{}}")
    #expect(value.text() == "{\"B\":{},\"a\":\"\\u0001\\b\\fé\u{7F}/\",\"b\":[1,2.5,[]]}")
    #expect(
      value.text(sortedKeys: false, indent: 1).hasPrefix("{\n \"b\": [\n  1,\n  2.5,\n  []\n ],\n \"a\""))
  }

  @Test func everyTruncationAndDamageIsRefusedOrValid() throws {
    let whole = Array(#"{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00"],"b":{"c":null,"d":true}}"#.utf8)
    for length in 0..<whole.count {
      #expect(throws: JSONError.self) { try whole[..<length].withUnsafeBytes { try JSONValue(parsing: $0) } }
    }
    for place in whole.indices {
      for byte in UInt8.min...UInt8.max {
        var damaged = whole
        damaged[place] = byte
        guard let value = try? damaged.withUnsafeBytes({ try JSONValue(parsing: $0) }) else { continue }
        #expect(try JSONValue(parsing: value.text()) == value)
      }
    }
  }

  @Test(.enabled(if: SharedData.isPresent))
  func readsARealTokenizer() throws {
    let bytes = try readBytes(SharedData.path("models/minilm-l6-v2/tokenizer.json"))
    let value = try bytes.withUnsafeBytes { try JSONValue(parsing: $0) }
    #expect(value["model"]?["vocab"]?.objectValue?.members.count == 30522)
  }
}
