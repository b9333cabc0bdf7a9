setInterval(() => {}, 3600 * 1000);
