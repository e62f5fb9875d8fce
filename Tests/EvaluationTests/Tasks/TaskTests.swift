import Evaluation
import ModelFiles
import Models
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Questions: how files are read, and answers against likelihoods from the definition.
@Suite("Tasks")
struct TaskTests {
  private static func task(_ text: String) throws -> TaskText {
    try TaskText(name: "t.jsonl", bytes: Array(text.utf8))
  }

  @Test("both kinds of questions are read; empty lines are left out")
  func reading() throws {
    let choice = try Self.task(
      "{\"prompt\": \"ab\", \"choices\": [\"c\", \"de\"], \"answer\": 1}\n\n{\"prompt\": \"\", \"choices\": [\"x\", \"y\"], \"answer\": 0}\n"
    )
    #expect(choice.items.count == 2)
    #expect(
      choice.items[0]
        == .init(prompt: Array("ab".utf8), choices: [Array("c".utf8), Array("de".utf8)], answer: 1))
    let words = try Self.task("{\"prompt\": \"a\", \"completion\": \" b\"}")
    #expect(words.items[0].isCloze)
  }

  @Test(
    "what is no question is refused, with its line",
    arguments: [
      ("", "there is no question in it"), ("{", "line 1 is no JSON object"),
      ("{\"prompt\": 1, \"completion\": \"x\"}", "line 1: no string \"prompt\""),
      ("{\"prompt\": \"a\", \"completion\": \"\"}", "line 1: \"completion\" is empty"),
      ("{\"prompt\": \"a\", \"choices\": [\"x\"], \"answer\": 0}", "are no 2 to 100 strings"),
      ("{\"prompt\": \"a\", \"choices\": [\"x\", 2], \"answer\": 0}", "are no 2 to 100 strings"),
      (
        "{\"prompt\": \"a\", \"choices\": [\"x\", \"y\"], \"answer\": 2}",
        "\"answer\" is no number from 0 to 1"
      ),
      ("{\"prompt\": \"a\", \"choices\": [\"x\", \"y\"]}", "\"answer\" is no number from 0 to 1"),
      (
        "{\"prompt\": \"a\", \"completion\": \"x\"}\n{\"prompt\": \"a\", \"choices\": [\"x\", \"y\"], \"answer\": 0}",
        "use two files"
      ),
    ])
  func refusals(text: String, message: String) {
    do {
      _ = try Self.task(text)
      Issue.record("accepted: \(text)")
    } catch { #expect("\(error)".contains(message), "\(error)") }
  }

  /// −ln p from the definition.
  private static func loss(_ row: [Float], _ token: Int) -> Double {
    log(row.reduce(0.0) { $0 + exp(Double($1)) }) - Double(row[token])
  }

  @Test("answers are those of the likelihoods, whole and by the byte")
  func answers() throws {
    let model = FakeLanguageModel(vocabularySize: 258, contextLength: 32)
    let tokenizer = ByteTokenizer()
    let items: [(String, [String])] = [
      ("ab", ["c", "de", "fgh"]), ("", ["x", "yz"]), ("hello", ["a", "bc", "d", "efgh"]),
    ]
    var task = try Self.task("{\"prompt\": \"a\", \"choices\": [\"x\", \"y\"], \"answer\": 0}")
    var right: [(Bool, Bool)] = []
    task.items = items.map { prompt, choices in
      let scores = choices.map { choice -> Double in
        let tokens = [256] + Array((prompt + choice).utf8).map(Int.init)
        return ((1 + prompt.utf8.count)..<tokens.count).reduce(0.0) { sum, place in
          sum - Self.loss(model.row(position: place - 1, token: tokens[place - 1]), tokens[place])
        }
      }
      let whole = scores.indices.max { scores[$0] < scores[$1] } ?? 0
      let byByte = scores.indices.max {
        scores[$0] / Double(choices[$0].utf8.count) < scores[$1] / Double(choices[$1].utf8.count)
      }
      right.append((true, byByte == whole))
      return .init(prompt: Array(prompt.utf8), choices: choices.map { Array($0.utf8) }, answer: whole)
    }
    let answers = try TaskEvaluation.run(model, tokenizer: tokenizer, task: task)
    #expect(answers.isRight == right.map(\.0))
    #expect(answers.isRightByLength == right.map(\.1))
  }

  @Test("words are found when each of their tokens is the likeliest; long prompts lose their beginning")
  func words() throws {
    let model = FakeLanguageModel(vocabularySize: 258, contextLength: 8)
    let row = model.row(position: 2, token: Int(UInt8(ascii: "b")))
    let top = row.firstIndex(of: row.max() ?? 0) ?? 0
    var task = try Self.task("{\"prompt\": \"ab\", \"completion\": \"c\"}")
    task.items = [
      .init(prompt: Array("ab".utf8), choices: [[UInt8(truncatingIfNeeded: top)]], answer: 0),
      .init(prompt: Array("ab".utf8), choices: [[UInt8(truncatingIfNeeded: top + 1)]], answer: 0),
      .init(prompt: Array(repeating: 97, count: 40), choices: [Array("b".utf8)], answer: 0),
    ]
    let answers = try TaskEvaluation.run(model, tokenizer: ByteTokenizer(), task: task)
    #expect(answers.isRight.prefix(2) == [top < 256, false] && answers.isRight.count == 3)
    task.items = [.init(prompt: [], choices: [Array(repeating: 97, count: 9)], answer: 0)]
    #expect(throws: EvaluationError.self) {
      try TaskEvaluation.run(model, tokenizer: ByteTokenizer(), task: task)
    }
  }

  @Test("a change of answers is judged by McNemar's test")
  func comparison() {
    let before = [Bool](repeating: true, count: 20) + [Bool](repeating: false, count: 20)
    var after = before
    for place in 0..<8 { after[place] = false }
    let worse = TaskComparison(baseline: before, model: after)
    // 8 changed, all to wrong: 2 / 2⁸.
    #expect(worse.flips.lost == 8 && abs(worse.flips.probability - 2 / 256.0) < 1e-12)
    #expect(worse.verdict == .worse && abs(worse.difference.estimate.value + 0.2) < 1e-12)
    for place in 20..<28 { after[place] = true }
    #expect(TaskComparison(baseline: before, model: after).verdict == .tie)
  }
}
