"""Parts that the browser pages share: how a prediction is shown, how a page looks and is served."""
