import Evaluation
import ModelFiles
import Models
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Texts with labels: how tables are read, scores against scikit-learn's, labels against likelihoods from the definition.
@Suite("Classification")
struct ClassificationTests {
  private static func table(_ text: String, name: String = "t.csv") throws -> LabelledText {
    try LabelledText(name: name, bytes: Array(text.utf8))
  }

  @Test("scores agree with scikit-learn")
  func scores() throws {
    for entry in try jsonFixture("classification.json")["cases"]?.arrayValue ?? [] {
      func ints(_ key: String) -> [Int] { entry[key]?.arrayValue?.compactMap(\.intValue) ?? [] }
      func doubles(_ key: String) -> [Double] { entry[key]?.arrayValue?.compactMap(\.doubleValue) ?? [] }
      let classes = try #require(entry["classes"]?.intValue)
      let scores = ClassificationScores(
        truth: ints("truth"), predicted: ints("predicted"), classes: classes)
      let confusion = entry["confusion"]?.arrayValue?.map { $0.arrayValue?.compactMap(\.intValue) ?? [] }
      #expect(scores.confusion == confusion)
      #expect(abs(scores.accuracy - (entry["accuracy"]?.doubleValue ?? -1)) < 1e-12)
      #expect(abs(scores.macroF1 - (entry["macroF1"]?.doubleValue ?? -1)) < 1e-12)
      if let binary = entry["binaryF1"]?.doubleValue {
        #expect(abs((scores.binaryF1 ?? -1) - binary) < 1e-12)
      }
      #expect((scores.binaryF1 == nil) == (classes != 2))
      for place in 0..<classes {
        #expect(abs(scores.precision(place) - doubles("precision")[place]) < 1e-12)
        #expect(abs(scores.recall(place) - doubles("recall")[place]) < 1e-12)
        #expect(abs(scores.f1(place) - doubles("f1")[place]) < 1e-12)
      }
    }
  }

  @Test("the error of F1 is about that of repeated samples, and a change of nothing has none")
  func errors() throws {
    let truth = (0..<300).map { $0 % 2 }
    let guess = (0..<300).map { $0 % 7 == 0 ? 1 - $0 % 2 : $0 % 2 }
    let f1 = ClassificationScores.f1(truth: truth, predicted: guess, classes: 2)
    // A share of 6/7 of 300 rows has an error of 0.0202; F1 of even classes is close to it.
    #expect(abs((f1.standardError ?? 0) - 0.021) < 0.004)
    let change = ClassificationScores.f1Change(
      truth: truth, baseline: guess, predicted: guess, classes: 2)
    #expect(change.value == 0 && change.standardError == 0)
  }

  @Test("tables with and without a header, of texts and of pairs; numbers are sorted as numbers")
  func reading() throws {
    let plain = try Self.table("\"a, b\",10\nc,9\nd,10\n")
    #expect(plain.classes == ["9", "10"] && plain.rows.map(\.label) == [1, 0, 1])
    #expect(plain.rows[0].first == Array("a, b".utf8) && !plain.isPairs)
    let pairs = try Self.table("a\tb\tsame\nc\td\tother\n", name: "t.tsv")
    #expect(pairs.isPairs && pairs.classes == ["other", "same"] && pairs.rows[0].label == 1)
    let named = try Self.table("id,label,Sentence2,sentence1\n7, yes ,b,a\n8,no,d,c\n")
    #expect(named.rows[0] == .init(first: Array("a".utf8), second: Array("b".utf8), label: 1))
    let single = try Self.table("label,review\n1,good\n0,bad\n")
    #expect(single.rows.map(\.first) == [Array("good".utf8), Array("bad".utf8)])
  }

  @Test(
    "what is no table of labels is refused, with its line",
    arguments: [
      ("", "there is no row"), ("a,b,c,d\n", "4 columns without a header"), ("one\n", "1 columns without"),
      ("text,label\n", "there is no row"), ("a,x\nb\n", "line 2: 1 columns, expected 2"),
      ("a,x\nb,\n", "line 2: the label is empty"), ("a,x\nb,x\n", "all rows have the label 'x'"),
      ("label\nx\n", "names no column of texts"),
      ((0..<101).map { "a,\($0)" }.joined(separator: "\n"), "101 different labels"),
    ])
  func refusals(text: String, message: String) {
    do {
      _ = try Self.table(text)
      Issue.record("accepted: \(text.prefix(40))")
    } catch { #expect("\(error)".contains(message), "\(error)") }
  }

  @Test("templates that do not fit are refused; what texts hold is not taken for a place")
  func templates() throws {
    let model = FakeLanguageModel(vocabularySize: 258, contextLength: 64)
    let text = try Self.table("a,x\nb,y\n")
    func fails(_ template: LabelTemplate, _ message: String) {
      do {
        _ = try ClassificationEvaluation.run(
          model, tokenizer: ByteTokenizer(), text: text, template: template)
        Issue.record("accepted: \(template.text)")
      } catch { #expect("\(error)".contains(message), "\(error)") }
    }
    fails(LabelTemplate(text: "{label} {text}"), "does not end with its only {label}")
    fails(LabelTemplate(text: "no text {label}"), "the template has no {text}")
    fails(LabelTemplate(text: "{text} {label}", words: ["one"]), "1 words for 2 labels: x, y")
    fails(LabelTemplate(text: "{text} {label}", words: ["a", "a"]), "two labels have the same word")
    let tricky = try Self.table("{text} {label},x\nb,y\n")
    _ = try ClassificationEvaluation.run(
      model, tokenizer: ByteTokenizer(), text: tricky, template: .plain(isPairs: false))
  }

  @Test("a language model's labels are those of the likelihoods, and of what the text adds to them")
  func likelihoods() throws {
    let model = FakeLanguageModel(vocabularySize: 258, contextLength: 64)
    let text = try Self.table("ab,x\ncde,yz\nf,w\n\"\",x\n")
    let found = try ClassificationEvaluation.run(
      model, tokenizer: ByteTokenizer(), text: text, template: LabelTemplate(text: "{text}: {label}"))
    func likelihood(_ prompt: String, _ label: String) -> Double {
      let tokens = [256] + Array((prompt + ": " + label).utf8).map(Int.init)
      let first = 1 + prompt.utf8.count + 1
      return (first..<tokens.count).reduce(0.0) { sum, place in
        let row = model.row(position: place - 1, token: tokens[place - 1])
        return sum + Double(row[tokens[place]]) - log(row.reduce(0.0) { $0 + exp(Double($1)) })
      }
    }
    func best(_ values: [Double]) -> Int { values.firstIndex(of: values.max() ?? 0) ?? 0 }
    let prompts = ["ab", "cde", "f", ""]
    #expect(found[0].labels == prompts.map { prompt in best(text.classes.map { likelihood(prompt, $0) }) })
    #expect(
      found[1].labels
        == prompts.map { prompt in best(text.classes.map { likelihood(prompt, $0) - likelihood("", $0) }) })
    #expect(found.map(\.name) == ["likeliest label", "label that the text makes likelier"])
  }

  @Test("an encoder's labels: the nearest mean of the other half, the best cut of the other half")
  func encoder() throws {
    let truth = [0, 0, 1, 1, 0, 1, 0, 1]
    let half = ClassificationEvaluation.halves(truth, classes: 2)
    #expect(half == [1, 0, 1, 0, 1, 1, 0, 0])
    let vectors: [[Double]] = [
      [1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8], [0.6, 0.8], [0, 1], [1, 0], [0, 1],
    ]
    let found = ClassificationEvaluation.nearestClasses(vectors, truth, 2)
    for row in truth.indices {
      let means = (0..<2).map { label in
        truth.indices.filter { half[$0] != half[row] && truth[$0] == label }.reduce([0.0, 0.0]) {
          [$0[0] + vectors[$1][0], $0[1] + vectors[$1][1]]
        }
      }
      let cosines = means.map { mean in
        (mean[0] * vectors[row][0] + mean[1] * vectors[row][1])
          / (mean[0] * mean[0] + mean[1] * mean[1]).squareRoot()
      }
      #expect(found[row] == (cosines[0] >= cosines[1] ? 0 : 1))
    }
    // Whichever side the positive class is on, the halves are told apart.
    let cosines = truth.map { $0 == 1 ? 0.9 : 0.1 }
    #expect(ClassificationEvaluation.sides(cosines, truth) == truth)
    #expect(ClassificationEvaluation.sides(cosines.map { -$0 }, truth) == truth)
    // Cuts by hand: rows 0, 2, 4 and 5 (0 at 0.2 and 0.3, 1 at 0.5 and 0.8) say 0.4; rows 1, 3, 6 and 7 (0 at 0.7 and 0.6, 1 at 0.45
    // and 0.65) are told best by whatever is below 0.525 being positive, three of four.
    let noisy = [0.2, 0.7, 0.5, 0.45, 0.3, 0.8, 0.6, 0.65]
    #expect(ClassificationEvaluation.sides(noisy, truth) == [1, 1, 1, 1, 1, 0, 1, 1])
    let three = try Self.table("a,b,x\nc,d,y\ne,f,z\n")
    #expect(throws: EvaluationError.self) {
      try ClassificationEvaluation.run(FakeEncoder(), tokenizer: ByteTokenizer(), text: three)
    }
    let pairs = try Self.table("abc,abc,1\nabc,xq,0\nde,de,1\nd,zz,0\n")
    let whole = try ClassificationEvaluation.run(FakeEncoder(), tokenizer: ByteTokenizer(), text: pairs)
    #expect(whole.count == 1 && whole[0].labels.count == 4)
  }
}
