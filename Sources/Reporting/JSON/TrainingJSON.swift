import ModelFiles
import Passes
import Training

extension TrainingReport {
  var json: JSONValue {
    .fields([
      ("curve", .array(curve.map(\.json))), ("bestStep", .integer(bestStep)), ("steps", .integer(steps)),
      ("wasInterrupted", .bool(wasInterrupted)),
      ("epochs", .rounded(epochs)), ("loss", .string(loss)), ("learningRate", .rounded(learningRate)),
      ("text", .string(text)), ("textHash", .string(textHash)), ("tokens", .integer(tokens)),
      ("heldOutTokens", .integer(heldOutTokens)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      curve: try fields.array("curve") { try TrainingPoint(ReportFields($0, path: $1)) },
      bestStep: try fields.int("bestStep"), steps: try fields.int("steps"),
      epochs: try fields.double("epochs"), loss: try fields.string("loss"),
      learningRate: try fields.double("learningRate"), text: try fields.string("text"),
      textHash: try fields.string("textHash"), tokens: try fields.int("tokens"),
      heldOutTokens: try fields.int("heldOutTokens"))
    wasInterrupted = try fields.bool("wasInterrupted")
  }
}

extension TrainingPoint {
  var json: JSONValue {
    .fields([
      ("step", .integer(step)), ("loss", .rounded(loss)), ("heldOutKLD", .rounded(heldOutKLD)),
      ("heldOutLoss", .rounded(heldOutLoss)), ("heldOutDistance", .rounded(heldOutDistance)),
      ("learningRate", .rounded(learningRate)),
      ("tokensPerSecond", .rounded(tokensPerSecond)),
    ])
  }

  init(_ fields: ReportFields) throws {
    self.init(
      step: try fields.int("step"), loss: try fields.optional("loss", fields.double),
      heldOutKLD: try fields.optional("heldOutKLD", fields.double),
      heldOutLoss: try fields.double("heldOutLoss"),
      learningRate: try fields.double("learningRate"),
      tokensPerSecond: try fields.optional("tokensPerSecond", fields.double))
  }
}
